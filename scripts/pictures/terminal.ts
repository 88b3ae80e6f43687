/**
 * The README's picture of a terminal: runs `npm start` on a terminal of its own, and draws the screen that it left as SVG. The text is what
 * was printed and nothing else, but for the checkout's folder, which is somebody's own; only the card around it is ours.
 */
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'

const checkout = resolve(import.meta.dirname, '..', '..')
const columns = 92

/** The palette of a light terminal; the card brings its own background, so it reads on a dark page too. */
const colours: Record<number, string> = { 31: '#cf222e', 32: '#1a7f37', 33: '#9a6700', 36: '#1b7c83' }
const ink = '#1f2328'
const faint = '#6e7781'

const cell = { width: 8.43, height: 20, fontSize: 14 }
const margin = { x: 26, top: 50, bottom: 22 }

const escape = '\u001b'
const tokens = new RegExp(`${escape}\\[([\\d;]*)[A-Za-z]|\\r|\\n|[^${escape}\\r\\n]+`, 'g')

/** Shape: how many rows the screen has, with the picture written to `out`. */
export async function drawTerminal({ records, out }: { records: number; out: string }): Promise<number> {
  const printed = await runOnTerminal(`npm start --silent -- --once --records ${records}`)
  const rows = readScreen(printed.replaceAll(checkout, '~/voice-wallet'))
  const prompt = [{ text: `$ npm start -- --records ${records}`, bold: false, colour: faint }]
  await writeFile(out, drawScreen([prompt, [], ...rows]))
  return rows.length
}

async function runOnTerminal(command: string): Promise<string> {
  const child = spawn('script', ['-qec', `stty cols ${columns} rows 100; exec ${command}`, '/dev/null'], {
    cwd: checkout,
    env: { ...process.env, TERM: 'xterm-256color', NO_COLOR: undefined },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('exit', resolve)
  })
  const [printed, code] = await Promise.all([text(child.stdout), ended])
  if (code !== 0) throw new Error(`${command} ended with ${code}:\n${printed}`)
  return printed
}

/** Text of one look, from where the one before it ended. */
type Span = { text: string; bold: boolean; colour: string }
type Row = readonly Span[]

/** What a terminal shows after all of it: our screen uses line ends, "clear this line" and a few looks. */
function readScreen(printed: string): Row[] {
  const rows: Span[][] = [[]]
  let look = { bold: false, colour: ink }
  for (const [token, code] of printed.matchAll(tokens)) {
    if (token === '\n') rows.push([])
    else if (token.endsWith('K')) rows[rows.length - 1] = []
    else if (token.endsWith('m') && code !== undefined)
      look = code.split(';').map(Number).reduce(lookAfter, look)
    else if (token !== '\r' && code === undefined) rows.at(-1)?.push({ text: token, ...look })
  }
  while (rows.at(-1)?.length === 0) rows.pop()
  return rows
}

function lookAfter(look: { bold: boolean; colour: string }, code: number): { bold: boolean; colour: string } {
  if (code === 0) return { bold: false, colour: ink }
  if (code === 1) return { ...look, bold: true }
  if (code === 2) return { ...look, colour: faint }
  if (code === 22) return { bold: false, colour: look.colour === faint ? ink : look.colour }
  if (code === 39) return { ...look, colour: ink }
  return { ...look, colour: colours[code] ?? look.colour }
}

function drawScreen(rows: readonly Row[]): string {
  const width = Math.round(columns * cell.width + 2 * margin.x)
  const height = margin.top + rows.length * cell.height + margin.bottom
  const texts = rows.flatMap((row, index) => drawRow(row, margin.top + (index + 0.75) * cell.height))
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>The screen of npm start: a wallet's balance falls call by call, then the campaign's summary</title>
<style>
  text { font: ${cell.fontSize}px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; white-space: pre }
  .b { font-weight: 600 }
</style>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10" fill="#fcfcfb" stroke="#d0d7de"/>
<path d="M0.5 34.5 H${width - 0.5}" stroke="#e4e8ec"/>
${['#ff8a80', '#ffd180', '#a5d6a7'].map((fill, index) => `<circle cx="${22 + index * 18}" cy="18" r="5.5" fill="${fill}"/>`).join('')}
${texts.join('\n')}
</svg>
`
}

/** Each piece is stretched to its cells, so that columns stand under each other in whatever font the reader has. */
function drawRow(row: Row, y: number): string[] {
  let column = 0
  return row.flatMap(({ text, bold, colour }) => {
    const start = column
    column += text.length
    return [...text.matchAll(/\S+(?: \S+)*/g)].map((piece) => {
      const x = margin.x + (start + piece.index) * cell.width
      const length = piece[0].length * cell.width
      const look = `fill="${colour}"${bold ? ' class="b"' : ''}`
      return `<text x="${x.toFixed(1)}" y="${y}" textLength="${length.toFixed(1)}" ${look}>${escaped(piece[0])}</text>`
    })
  })
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
