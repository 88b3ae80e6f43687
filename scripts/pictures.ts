/** The README's pictures, taken of what runs: the screen of `npm start`, and every page of the wallet. */
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'

import { Misuse, runScript, wholeNumber } from './command-line.ts'
import { takePictures, weigh } from './pictures/pages.ts'
import { drawTerminal } from './pictures/terminal.ts'

const subjects = ['terminal', 'pages'] as const

await runScript({
  name: 'pictures',
  usage: `usage: npm run -s pictures -- [terminal|pages] [--records <n>] [--out <folder>]

terminal  draws the screen of "npm start -- --once" as start.svg. Needs Linux: "script" of util-linux gives the terminal. Run it
          in a fresh clone, so that the demo workspace is the first.
pages     photographs every page of the wallet in light, in dark and 390 px wide, as a stack of its own serves it with a month of
          believable business. The same each time but for its dates. Looks through the Chromium that the tests use.
Both, unless one is named.

  --records <n>   call records in the terminal's campaign (default 22)
  --out <folder>  where to (default docs/pictures)
  --help          this text`,
  options: {
    records: { type: 'string', default: '22' },
    out: { type: 'string', default: resolve(import.meta.dirname, '..', 'docs', 'pictures') },
  },
  run: async ({ records, out }, words) => {
    const wanted = words.map((word) => subjects.find((subject) => subject === word) ?? unknown(word))
    const isWanted = (subject: (typeof subjects)[number]): boolean =>
      wanted.length === 0 || wanted.includes(subject)
    const count = wholeNumber('--records', records, { least: 1, most: 1_000 })
    await mkdir(out, { recursive: true })
    if (isWanted('terminal')) {
      const rows = await drawTerminal({ records: count, out: join(out, 'start.svg') })
      log(`${rows} rows in start.svg`)
    }
    if (isWanted('pages')) {
      const names = await takePictures(out, log)
      log(`${names.length} pictures of pages, ${Math.ceil((await weigh(out)) / 1_000)} kB, in ${out}`)
    }
  },
})

function unknown(word: string): never {
  throw new Misuse(`expected one of ${subjects.join(' or ')}, got "${word}"`)
}

/** What is said besides; the output itself are files. */
function log(message: string): void {
  process.stderr.write(`${message}\n`)
}
