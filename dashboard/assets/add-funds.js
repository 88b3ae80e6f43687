// Add Funds: amounts to choose from, and what an amount comes to while it is typed.

const form = document.querySelector('form[data-preview-from]')
const amount = document.querySelector('input[name="amount_usd"]')
const country = document.querySelector('select[name="country"]')
const part = document.querySelector('[data-preview]')
const chips = [...document.querySelectorAll('button[data-amount]')]

/** Nobody types a digit slower than this. */
const typingMs = 400

/** @type {number | undefined} */
let waiting
let asked = 0

async function preview() {
  if (!(form instanceof HTMLFormElement) || !(amount instanceof HTMLInputElement) || part === null) return
  asked += 1
  const turn = asked
  const query = new URLSearchParams({
    amount_usd: amount.value,
    country: country instanceof HTMLSelectElement ? country.value : '',
  })
  const response = await fetch(`${form.dataset['previewFrom']}?${query}`, { headers: { 'x-refresh': '1' } })
  // A later question has been asked meanwhile, or the session is over.
  if (turn !== asked || !response.ok || response.redirected) return
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html')
  part.replaceChildren(...fresh.body.childNodes)
}

function changed() {
  for (const chip of chips) {
    const isChosen =
      amount instanceof HTMLInputElement && chip.getAttribute('data-amount') === amount.value.trim()
    chip.setAttribute('aria-pressed', String(isChosen))
  }
  window.clearTimeout(waiting)
  waiting = window.setTimeout(() => void preview(), typingMs)
}

for (const chip of chips) {
  chip.addEventListener('click', () => {
    if (amount instanceof HTMLInputElement) amount.value = chip.getAttribute('data-amount') ?? ''
    changed()
  })
}
amount?.addEventListener('input', changed)
country?.addEventListener('change', changed)
// One wish, one click.
form?.addEventListener('submit', () => {
  for (const button of form.querySelectorAll('button[type="submit"]'))
    button.setAttribute('aria-disabled', 'true')
})
if (amount instanceof HTMLInputElement && amount.value !== '') changed()
