/**
 * What all pages have in common: the bar with the workspace, the menu, what is wrong just now, and the frame around it. No script
 * and no style stands in the page itself, so the policy that it is sent with can forbid both.
 */
import { csrfField } from './form.ts'
import { html, type Html } from './html.ts'
import { paths, placeNames, places, type PlaceName } from './places.ts'
import { troubleBanners, type Trouble } from './trouble.ts'

export const themes = ['auto', 'light', 'dark'] as const
export type Theme = (typeof themes)[number]

/** Where the files that pages need are, by their names in `assets/`. */
export type AssetPath = (name: string) => string

/** What a page knows of whoever looks at it. */
export type Frame = {
  place: PlaceName
  assets: AssetPath
  theme: Theme
  workspaceId: string
  workspaceName: string | null
  /** Whether buttons are shown: the key is an admin's. Every route asks again. */
  mayChange: boolean
  /** Goes with every form. */
  csrf: string
  troubles: readonly Trouble[]
  /** What was just done. */
  notice: string | null
  /** How the wallet stood before the page was put together: the stream tells what comes after. */
  mark: string
}

/**
 * Shape: `scripts` are names in `assets/`; `live` says that the page follows the wallet, `paddleJs` that Paddle's own script is on it,
 *        which the page must then be sent with leave for.
 */
export function page(
  frame: Frame,
  {
    title = places[frame.place].title,
    scripts = [],
    live = false,
    paddleJs = false,
  }: { title?: string; scripts?: readonly string[]; live?: boolean; paddleJs?: boolean },
  content: Html,
): Html {
  const { place, assets, theme } = frame
  return wholePage(
    { assets, theme, title, paddleJs, scripts: [...(live ? ['live.js'] : []), ...scripts] },
    html`<a class="skip" href="#content">Skip to the content</a>
      <header class="bar">
        <div class="inner">
          <a class="brand" href="${places.wallet.path}">${mark}<span>voice-wallet</span></a>
          <div class="who">
            <span class="workspace" title="${frame.workspaceId}"
              >${frame.workspaceName ?? frame.workspaceId}</span
            >
            ${frame.mayChange ? null : html`<span class="pill">read only</span>`}
            <form method="post" action="${paths.signOut}">
              ${csrfField(frame)}<button class="quiet" type="submit">Sign out</button>
            </form>
          </div>
        </div>
        <nav class="inner menu" aria-label="Wallet">
          <ul>
            ${placeNames.map(
              (name) =>
                html`<li>
                  <a href="${places[name].path}" ${name === place ? html`aria-current="page"` : null}
                    >${places[name].title}</a
                  >
                </li>`,
            )}
          </ul>
        </nav>
      </header>
      <main id="content" class="inner" tabindex="-1" ${live ? streamOf(frame) : null}>
        <h1 ${place === 'wallet' && title === places.wallet.title ? html`class="hidden"` : null}>${title}</h1>
        ${frame.notice === null ? null : html`<p class="notice" role="status">${frame.notice}</p>`}
        <div data-live="troubles">${troubleBanners(frame.troubles, frame)}</div>
        ${content}
      </main>
      <footer class="inner">
        <p>All times are UTC. Amounts are US dollars.</p>
        ${themeSwitch(frame)}
      </footer>`,
  )
}

/** A page for somebody who is not signed in, or for whom nothing else can be shown. */
export function plainPage(look: { assets: AssetPath; theme: Theme; title: string }, content: Html): Html {
  return wholePage(
    { ...look, scripts: [], paddleJs: false },
    html`<main id="content" class="alone">
      <p class="brand">${mark}<span>voice-wallet</span></p>
      <h1>${look.title}</h1>
      ${content}
    </main>`,
  )
}

function wholePage(
  {
    assets,
    theme,
    title,
    scripts,
    paddleJs,
  }: { assets: AssetPath; theme: Theme; title: string; scripts: readonly string[]; paddleJs: boolean },
  body: Html,
): Html {
  return html`<!doctype html>
    <html lang="en" data-theme="${theme}">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="${theme === 'auto' ? 'light dark' : theme}" />
        <meta name="robots" content="noindex" />
        <title>${title === 'Wallet' ? title : `${title} \u00b7 Wallet`}</title>
        <link rel="icon" type="image/svg+xml" href="${assets('icon.svg')}" />
        <link rel="stylesheet" href="${assets('wallet.css')}" />
        ${paddleJs ? html`<script defer src="https://cdn.paddle.com/paddle/v2/paddle.js"></script>` : null}
        ${scripts.map((name) => html`<script type="module" src="${assets(name)}"></script>`)}
      </head>
      <body>
        ${body}
      </body>
    </html>`
}

/** Three buttons, one of them pressed: it works without a script, because the server remembers. */
function themeSwitch({ theme, place, csrf }: Frame): Html {
  return html`<form method="post" action="${paths.theme}">
    ${csrfField({ csrf })}<input type="hidden" name="place" value="${place}" />
    <fieldset class="themes">
      <legend class="hidden">Colours</legend>
      ${themes.map(
        (each) =>
          html`<button
            type="submit"
            name="theme"
            value="${each}"
            aria-pressed="${each === theme ? 'true' : 'false'}"
          >
            ${themeTitles[each]}
          </button>`,
      )}
    </fieldset>
  </form>`
}

const themeTitles: Record<Theme, string> = { auto: 'Auto', light: 'Light', dark: 'Dark' }

const mark = html`<svg
  class="mark"
  viewBox="0 0 24 24"
  width="24"
  height="24"
  aria-hidden="true"
  focusable="false"
>
  <rect x="2" y="5" width="20" height="15" rx="4" />
  <path d="M7 10v5M11 8.5v8M15 11v3" />
  <circle cx="18.5" cy="12.5" r="1.2" />
</svg>`

/** Where the page hears of what comes after it. */
function streamOf({ mark }: Frame): Html {
  return html`data-events="${paths.events}" data-mark="${mark}"`
}
