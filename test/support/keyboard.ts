/** A visitor who has no mouse. */
import type { Locator, Page } from 'playwright-core'

/** More stops than any page of ours has. */
const mostStops = 150

/** Goes on with Tab until the place has the focus, and sees that the focus can be seen there. Throws when Tab never comes by. */
export async function tabTo(page: Page, place: Locator): Promise<void> {
  for (let stop = 0; stop < mostStops; stop += 1) {
    await page.keyboard.press('Tab')
    if ((await place.and(page.locator(':focus')).count()) === 0) continue
    const outline = await page.evaluate<string>('getComputedStyle(document.activeElement).outlineStyle')
    if (outline === 'none') throw new Error(`nobody sees that ${place.toString()} has the focus`)
    return
  }
  throw new Error(`Tab never comes to ${place.toString()}`)
}

export async function tabToAndPress(page: Page, place: Locator, key = 'Enter'): Promise<void> {
  await tabTo(page, place)
  await page.keyboard.press(key)
}

export async function tabToAndType(page: Page, place: Locator, text: string): Promise<void> {
  await tabTo(page, place)
  await page.keyboard.press('ControlOrMeta+A')
  await page.keyboard.type(text)
}
