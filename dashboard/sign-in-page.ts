/** Where a session begins: with a key that is typed in, or with a link that works once. */
import { html, type Html } from './html.ts'
import { plainPage, type AssetPath, type Theme } from './page.ts'
import { paths, type PlaceName } from './places.ts'

export type Look = { assets: AssetPath; theme: Theme }

export function signInPage(
  look: Look,
  view: { problem: string | null; notice: string | null; place: PlaceName },
): Html {
  const { problem, notice, place } = view
  return plainPage(
    { ...look, title: 'Sign in' },
    html`${notice === null ? null : html`<p class="notice" role="status">${notice}</p>`}
      <form method="post" action="${paths.signIn}">
        <input type="hidden" name="place" value="${place}" />
        <div class="field">
          <label for="key">API key</label>
          <input
            id="key"
            name="key"
            type="password"
            autocomplete="current-password"
            spellcheck="false"
            autocapitalize="off"
            required
            autofocus
            aria-describedby="key-hint${problem === null ? '' : ' key-problem'}"
            ${problem === null ? null : html`aria-invalid="true"`}
          />
          ${problem === null ? null : html`<p class="problem" id="key-problem" role="alert">${problem}</p>`}
          <p class="hint" id="key-hint">
            It begins with sk_call2me_. A read key sees the wallet; an admin key may also add funds and change
            settings.
          </p>
        </div>
        <button class="primary" type="submit">Sign in</button>
      </form>`,
  )
}

/** A link is opened by programs too, such as those that look for harm in mail: only the button uses it. */
export function linkPage(look: Look, view: { token: string; workspaceId: string; scope: string }): Html {
  return plainPage(
    { ...look, title: 'Open the wallet' },
    html`<p>This link signs you in once, to the wallet of <strong>${view.workspaceId}</strong>.</p>
      <form method="post" action="${paths.link}">
        <input type="hidden" name="token" value="${view.token}" />
        <button class="primary" type="submit" autofocus>Open the wallet</button>
      </form>
      <p class="hint">
        ${
          view.scope === 'admin'
            ? 'You may look at everything, add funds and change settings.'
            : 'You may look at everything and change nothing.'
        }
      </p>`,
  )
}

export function problemPage(
  look: Look,
  view: { title: string; message: string; requestId: string; isSignedIn: boolean },
): Html {
  return plainPage(
    { ...look, title: view.title },
    html`<p>${view.message}</p>
      <p>
        <a class="button" href="${view.isSignedIn ? '/wallet' : paths.signIn}"
          >${view.isSignedIn ? 'Back to the wallet' : 'Sign in'}</a
        >
      </p>
      <p class="hint">${view.requestId}</p>`,
  )
}
