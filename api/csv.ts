/** CSV that a spreadsheet reads as text and numbers, and never as a formula. RFC 4180: commas, quotes doubled, CRLF. */

/** Numbers are written as they are; what is not there is an empty cell. */
export type CsvCell = string | { readonly number: string } | undefined

export function csvLine(cells: readonly CsvCell[]): string {
  return `${cells.map(csvCell).join(',')}\r\n`
}

/**
 * Shape: text that a spreadsheet would take for a formula, because it begins with `=`, `+`, `-`, `@`, a tab or a line's end, gets
 *        an apostrophe before it. Numbers are ours and stay numbers, also below zero.
 */
function csvCell(cell: CsvCell): string {
  if (cell === undefined) return ''
  if (typeof cell !== 'string') return cell.number
  const text = /^[=+\-@\t\r\n]/.test(cell) ? `'${cell}` : cell
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
