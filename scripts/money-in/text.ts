/** How the scripts of money in put words on a screen of 120 columns. */

const columns = 120

/**
 * Folds a text at spaces, the first line behind `indent` and the others behind `hanging`; a word that is longer than a line stays
 * whole.
 */
export function fold(text: string, indent = '', hanging = indent): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    const before = lines.length === 0 ? indent : hanging
    if (line !== '' && before.length + longer.length > columns) {
      lines.push(before + line)
      line = word
    } else line = longer
  }
  return [...lines, (lines.length === 0 ? indent : hanging) + line].join('\n')
}

/** One named line of a form, such as `  card      visa 4242`; what is longer goes on below its beginning. */
export function field(name: string, text: string, width = 15): string {
  const indent = ' '.repeat(width + 2)
  return `  ${name.padEnd(width)}${fold(text, indent).slice(indent.length)}`
}

/** `2026-11-23T06:02:31Z`: UTC, to the second. */
export function second(at: Date): string {
  return `${at.toISOString().slice(0, 19)}Z`
}

/** `0.31 s`, `42 s`, `7 min`, `3 h`, `2 days`. */
export function duration(milliseconds: number): string {
  const seconds = milliseconds / 1_000
  if (seconds < 10) return `${seconds.toFixed(2)} s`
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`
  return `${Math.round(seconds / 86_400)} days`
}
