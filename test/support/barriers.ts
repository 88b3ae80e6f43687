/** What would keep somebody out who uses a keyboard, a screen reader or other eyes than ours: axe-core's judgement of a page. */
import axe, { type AxeResults } from 'axe-core'
import type { Page } from 'playwright-core'

/**
 * Shape: a line for each rule and place that axe-core calls serious or critical, on the page as it stands:
 *        `color-contrast (serious) at main > p: Element has insufficient color contrast of 1.2 ...`. No line is good.
 *        `only` names the rules that are asked after; without it, all of them.
 */
export async function findBarriers(page: Page, { only }: { only?: string } = {}): Promise<string[]> {
  const options = { resultTypes: ['violations'], ...(only === undefined ? {} : { runOnly: [only] }) }
  // Evaluated, not added as a script: the page's own policy would rightly refuse that.
  await page.evaluate(`if (globalThis.axe === undefined) { ${axe.source} }`)
  const { violations } = await page.evaluate<AxeResults>(`axe.run(document, ${JSON.stringify(options)})`)
  return violations.flatMap(({ id, impact, nodes }) =>
    nodes
      .filter((node) => ['serious', 'critical'].includes(node.impact ?? impact ?? ''))
      .map((node) => {
        // Its first line only says that one of the others is to be put right.
        const reasons = (node.failureSummary ?? '').split('\n').slice(1)
        return `${id} (${node.impact ?? impact}) at ${node.target.join(' ')}: ${reasons.map((reason) => reason.trim()).join('; ')}`
      }),
  )
}
