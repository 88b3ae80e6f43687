// The way to Paddle: its checkout over this page where Paddle.js is there, else the checkout's own page. What was paid is never
// taken from here: the page says it when the server knows it.

/**
 * @typedef {{ Environment: { set: (name: string) => void },
 *   Initialize: (options: { token: string, eventCallback: (event: { name?: string }) => void }) => void,
 *   Checkout: { open: (options: { transactionId: string }) => void, close: () => void } }} PaddleJs
 */

const door = document.querySelector('a[data-checkout]')

/** @returns {PaddleJs | undefined} */
function paddleJs() {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Paddle's script puts it there, and brings no types
  return 'Paddle' in window ? /** @type {any} */ (window.Paddle) : undefined
}

/** @param {HTMLAnchorElement} link */
function open(link) {
  const { paddleToken: token, paddleTransaction: transactionId, paddleEnvironment } = link.dataset
  const paddle = paddleJs()
  if (paddle === undefined || token === undefined || transactionId === undefined) {
    // Going back from there comes to the form, and not to this page, which would lead there again.
    location.replace(link.href)
    return
  }
  if (paddleEnvironment === 'sandbox') paddle.Environment.set('sandbox')
  paddle.Initialize({
    token,
    eventCallback: (event) => {
      if (event.name === 'checkout.completed' || event.name === 'checkout.closed')
        history.replaceState(null, '', '?back=1')
    },
  })
  paddle.Checkout.open({ transactionId })
}

if (door instanceof HTMLAnchorElement) {
  door.addEventListener('click', (event) => {
    event.preventDefault()
    open(door)
  })
  if (door.dataset['checkout'] === 'now') open(door)
}
