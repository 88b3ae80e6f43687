/** Countries to choose from, by their English names. What tax is owed there, Paddle says. */
import type { Choice } from './form.ts'

/** ISO 3166-1 alpha-2. */
const codes =
  'AD AE AG AI AL AM AO AR AS AT AU AW AZ BA BB BD BE BF BG BH BI BJ BM BN BO BR BS BT BW BZ CA CG CH CI CK CL CM CN CO CR CV CW CY ' +
  'CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GT GU GW GY HK HN HR HU ID IE ' +
  'IL IM IN IO IQ IS IT JE JM JO JP KE KG KH KI KM KN KR KW KY KZ LA LB LC LI LK LR LS LT LU LV MA MC MD ME MG MH MK MN MO MP MQ MR ' +
  'MS MT MU MV MW MX MY MZ NA NC NE NF NG NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RW SA SB SC SE ' +
  'SG SH SI SK SL SM SN SR ST SV SX SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VG VI VN VU WF WS XK ' +
  'YT ZA ZM'

const names = new Intl.DisplayNames('en', { type: 'region' })

export const countries: readonly Choice[] = codes
  .split(' ')
  .map((value) => ({ value, title: names.of(value) ?? value }))
  .toSorted((one, other) => one.title.localeCompare(other.title, 'en'))

export function isCountry(code: string): boolean {
  return countries.some(({ value }) => value === code)
}
