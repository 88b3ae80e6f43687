/** TypeScript as text, with what only looks like code taken out, so that a careful pattern finds what is really there. */

export type SourceFile = {
  /** From the checkout, with slashes: `billing/money.ts`. */
  path: string
  source: string
}

/**
 * The source with comments blanked, and the texts of strings too unless `keepStrings`. Every character stays in its place,
 * so lines can be counted. Code inside `${}` of a template is code.
 */
export function codeOf(source: string, { keepStrings }: { keepStrings: boolean }): string {
  const out: string[] = []
  /** Depths of braces at which a template goes on. */
  const templates: number[] = []
  let braces = 0
  let at = 0
  const keep = (until: number): void => {
    out.push(source.slice(at, until))
    at = until
  }
  const blank = (until: number): void => {
    out.push(source.slice(at, until).replaceAll(/[^\n]/g, ' '))
    at = until
  }
  const text = (until: number): void => (keepStrings ? keep(until) : blank(until))
  /** From inside a template, to the end of its text: the backquote, or the `${` of code. */
  const template = (): void => {
    let end = at
    while (end < source.length && source[end] !== '`' && !source.startsWith('${', end)) {
      end += source[end] === '\\' ? 2 : 1
    }
    text(end)
    if (source[end] === '`') keep(end + 1)
    else if (end < source.length) {
      keep(end + 2)
      templates.push(braces)
      braces += 1
    }
  }

  while (at < source.length) {
    const character = source[at]
    if (source.startsWith('//', at)) blank(endOf(source, /\n|$/g, at))
    else if (source.startsWith('/*', at)) blank(endOf(source, /\*\/|$/g, at + 2, true))
    else if (character === "'" || character === '"') {
      const end = endOf(
        source,
        character === "'" ? /(?<!\\)(?:\\\\)*'|\n/g : /(?<!\\)(?:\\\\)*"|\n/g,
        at + 1,
        true,
      )
      keep(at + 1)
      text(end - 1)
      keep(end)
    } else if (character === '`') {
      keep(at + 1)
      template()
    } else if (character === '/' && beginsPattern(out)) {
      const end = endOfPattern(source, at + 1)
      keep(at + 1)
      text(end)
    } else {
      if (character === '{') braces += 1
      if (character === '}') {
        braces -= 1
        if (templates.at(-1) === braces) {
          templates.pop()
          keep(at + 1)
          template()
          continue
        }
      }
      keep(at + 1)
    }
  }
  return out.join('')
}

/** Everything that a file imports or exports from elsewhere, with the line. A specifier that is computed is null. */
export function importsOf(source: string): { specifier: string | null; line: number }[] {
  const code = codeOf(source, { keepStrings: true })
  // Where strings are blanked, a keyword is a keyword.
  const bare = codeOf(source, { keepStrings: false })
  const found: { specifier: string | null; line: number }[] = []
  for (const match of bare.matchAll(
    /\b(?:import|export)\b[^'"`;()]*?\bfrom\s*(?=['"])|\bimport\s*(?=['"])/g,
  )) {
    found.push({ specifier: quotedAt(code, match.index + match[0].length), line: lineAt(code, match.index) })
  }
  for (const match of bare.matchAll(/(?<![.\w])(?:import|require)\s*\(\s*/g)) {
    found.push({ specifier: quotedAt(code, match.index + match[0].length), line: lineAt(code, match.index) })
  }
  return found.toSorted((one, other) => one.line - other.line)
}

export function lineAt(source: string, index: number): number {
  return source.slice(0, index).split('\n').length
}

function quotedAt(code: string, index: number): string | null {
  return /^(['"])(.*?)\1/.exec(code.slice(index))?.[2] ?? null
}

function endOf(source: string, pattern: RegExp, from: number, behind = false): number {
  pattern.lastIndex = from
  const match = pattern.exec(source)
  if (match === null) return source.length
  return behind ? match.index + match[0].length : match.index
}

/** A slash divides what came before it, unless that cannot be divided. */
function beginsPattern(before: readonly string[]): boolean {
  const code = before.slice(-400).join('').trimEnd()
  return (
    code === '' ||
    /[(,=:[!&|?{};+\-*%~<>^]$|\b(?:return|typeof|case|in|of|do|else|throw|new|await|yield)$/.test(code)
  )
}

function endOfPattern(source: string, from: number): number {
  let inClass = false
  for (let end = from; end < source.length; end += 1) {
    const character = source[end]
    if (character === '\\') end += 1
    else if (character === '[') inClass = true
    else if (character === ']') inClass = false
    else if ((character === '/' && !inClass) || character === '\n') return end
  }
  return source.length
}
