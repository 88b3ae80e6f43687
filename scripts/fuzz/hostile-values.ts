/** What somebody may send who means no good, or whose program is broken. */
import type { Random } from './random.ts'

/** As JSON text each, because JSON can say what JavaScript's values cannot, such as `-0` and `1e999`. */
export const hostileMoney = [
  '-1',
  '-0.01',
  '0',
  '-0',
  '"-0"',
  '0.001',
  '"0.001"',
  '1e308',
  '1e999',
  '"1e3"',
  '1e-7',
  '"NaN"',
  '"Infinity"',
  '"0x10"',
  '"1_000"',
  '"1,000"',
  '"10 "',
  '" 10"',
  '"010"',
  '"+10"',
  '"１０"',
  '9007199254740993',
  '99999999999999999999999999',
  '"50; drop table wallet"',
  'null',
  'true',
  '[50]',
  '{"amount":50}',
  '""',
] as const

const texts = [
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '\ud800',
  'x\udfffy',
  '\u202eevil',
  '😀'.repeat(50),
  'é\u0301\u0327',
  "' or 1=1 --",
  "'; select pg_sleep(10); --",
  '%00',
  '%27%20or%201=1',
  '../../../../etc/passwd',
  '..%2f..%2fetc%2fpasswd',
  '{{7*7}}${7*7}<%= 7*7 %>',
  '<script>alert(1)</script>',
  '=HYPERLINK("http://example.com")',
  '\r\nset-cookie: a=b',
  '$where',
  '__proto__',
  'constructor',
  'NaN',
  'null',
  'undefined',
  'true',
  '-1',
  '1e400',
  '2026-02-30',
  '0000-00-00T00:00:00Z',
  '+275760-09-13T00:00:00.001Z',
  '9'.repeat(400),
  'a'.repeat(5_000),
  'call_' + 'a'.repeat(65),
  'call_0a1b2c3d\n',
  'ws_',
  'topup_../x',
  '+1415555010012345678',
  '+0',
] as const

const others: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  -0,
  1.5,
  0.1 + 0.2,
  2 ** 31,
  2 ** 53,
  -(2 ** 63),
  1e21,
  1e308,
  5e-324,
  [],
  {},
  [[]],
  [null],
  [{}],
  { toString: 'x' },
  { length: 1e9 },
  { $gt: '' },
  { constructor: { prototype: { polluted: true } } },
]

/** Any of it, as a value that JSON can carry. */
export function hostileValue(random: Random): unknown {
  if (random.chance(0.55)) return random.pickAny(texts)
  if (random.chance(0.1)) return nested(random.pick([3, 9, 10, 11, 60]))
  if (random.chance(0.05)) return Array.from({ length: random.pick([2, 501, 1_001]) }, () => 'a')
  return random.pickAny(others)
}

export function hostileText(random: Random): string {
  return random.pickAny(texts) ?? ''
}

/** Whole bodies that are not what they say they are. */
export function hostileBody(random: Random, valid: string): { text: string | Buffer; type: string | null } {
  const json = 'application/json'
  const half = valid.slice(0, Math.max(1, Math.floor(valid.length / 2)))
  const open = valid.startsWith('{') && valid.length > 2 ? `,${valid.slice(1)}` : '}'
  return random.pick<() => { text: string | Buffer; type: string | null }>([
    () => ({ text: '', type: json }),
    () => ({ text: half, type: json }),
    () => ({ text: `${valid}${valid}`, type: json }),
    () => ({ text: `\ufeff${valid}`, type: json }),
    () => ({ text: 'null', type: json }),
    () => ({ text: '[]', type: json }),
    () => ({ text: '"text"', type: json }),
    () => ({ text: '1e999', type: json }),
    () => ({ text: 'NaN', type: json }),
    () => ({ text: '\u0000', type: json }),
    () => ({ text: Buffer.from([0xff, 0xfe, 0x7b, 0x7d]), type: json }),
    () => ({ text: Buffer.concat([Buffer.from(valid), Buffer.from([0xed, 0xa0, 0x80])]), type: json }),
    () => ({ text: '['.repeat(20_000), type: json }),
    () => ({ text: `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`, type: json }),
    () => ({ text: `{"__proto__":{"polluted":true}${open}`, type: json }),
    () => ({ text: `{"constructor":{"prototype":{"polluted":true}}${open}`, type: json }),
    () => ({ text: `{"\\u005f_proto__":{"polluted":true}${open}`, type: json }),
    () => ({ text: `{"a":"${'a'.repeat(300_000)}"}`, type: json }),
    () => ({ text: JSON.stringify(Array.from({ length: 2_000 }, () => 1)), type: json }),
    () => ({ text: valid, type: 'text/plain' }),
    () => ({ text: valid, type: 'application/xml' }),
    () => ({ text: 'amount_usd=50', type: 'application/x-www-form-urlencoded' }),
    () => ({ text: '--x\r\n\r\n1\r\n--x--', type: 'multipart/form-data; boundary=x' }),
    () => ({ text: valid, type: 'application/json; charset=utf-16' }),
    () => ({ text: valid, type: 'application/json;;;' }),
    () => ({ text: valid, type: '/' }),
    () => ({ text: valid, type: null }),
  ])()
}

function nested(depth: number): unknown {
  let value: unknown = 1
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { a: value }
  return value
}
