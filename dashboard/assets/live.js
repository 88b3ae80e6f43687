// Keeps the page up to date: the balance as it changes, and every part that says `data-live` a moment later, as the server shows it.
// One stream for a page, closed while nobody looks at it.

const main = document.querySelector('main[data-events]')
const address = main instanceof HTMLElement ? main.dataset['events'] : undefined
const balance = document.querySelector('[data-balance]')
const spoken = document.querySelector('[data-spoken]')

/** Parts are fetched anew this long after a change, and not more often. */
const refreshEveryMs = 2_000
/** A screen reader hears the balance this often at most. */
const speakEveryMs = 20_000

/** How the wallet stood when this page was put together: what has come since then is missing on it. */
let mark = main instanceof HTMLElement ? main.dataset['mark'] : undefined
/** @type {number | undefined} */
let refreshing
let spokenAt = Date.now()

/** @param {{ balance: string, mark: string }} wallet */
function show(wallet) {
  if (balance !== null && balance.textContent !== wallet.balance) {
    balance.textContent = wallet.balance
    balance.classList.remove('moved')
    // Reading the width lets the animation begin again.
    void balance.getBoundingClientRect().width
    balance.classList.add('moved')
    if (spoken !== null && Date.now() - spokenAt >= speakEveryMs) {
      spoken.textContent = `The balance is ${wallet.balance}.`
      spokenAt = Date.now()
    }
  }
  if (mark !== wallet.mark) {
    mark = wallet.mark
    refreshing ??= window.setTimeout(refresh, refreshEveryMs)
  }
}

/** Takes the parts from the page as it is now. What has the focus stays as it is. */
async function refresh() {
  refreshing = undefined
  const response = await fetch(location.href, { headers: { 'x-refresh': '1' } })
  // The session is over: what stands here is nobody's to read any more.
  if (response.redirected) location.assign(response.url)
  if (response.redirected || !response.ok) return
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html')
  for (const part of document.querySelectorAll('[data-live]')) {
    const name = part.getAttribute('data-live')
    const next = fresh.querySelector(`[data-live="${name}"]`)
    if (next === null || part.innerHTML === next.innerHTML || part.contains(document.activeElement)) continue
    part.replaceChildren(...next.childNodes)
  }
}

/** @type {EventSource | null} */
let stream = null

function listen() {
  if (address === undefined || document.hidden || stream !== null) return
  stream = new EventSource(address)
  stream.addEventListener('wallet', (event) => show(JSON.parse(event.data)))
  stream.addEventListener('error', () => {
    if (stream?.readyState === EventSource.CLOSED) void refresh()
  })
}

function rest() {
  stream?.close()
  stream = null
}

document.addEventListener('visibilitychange', () => (document.hidden ? rest() : listen()))
window.addEventListener('pagehide', rest)
window.addEventListener('pageshow', listen)
listen()
