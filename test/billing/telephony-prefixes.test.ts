// The table against libphonenumber's metadata: is every country in it, and is it priced as the table's reader expects?
import { getCountries, getCountryCallingCode, getExampleNumber } from 'libphonenumber-js/max'
import examples from 'libphonenumber-js/mobile/examples'
import { expect, test } from 'vitest'
import { findTelephonyRate, parseRateCard } from '../../billing/rate-card.ts'
import { parseRateAmount, rateDuration } from '../../billing/rate.ts'
import { defaultRateCardJson } from '../../billing/rates-default.ts'
import { telephonyPrefixes } from '../../billing/telephony-prefixes.ts'

const card = parseRateCard(defaultRateCardJson, { id: 'default', effectiveFrom: new Date(0) })
const callingCodes = [...new Set(getCountries().map((country) => getCountryCallingCode(country)))]
const withoutCountry = ['800', '808', '870', '878', '881', '882', '883', '888']

test('every country calling code has a price of its own', () => {
  const missing = [...callingCodes, ...withoutCountry].filter((code) => !card.telephony.has(code))

  expect(missing).toEqual([])
})

test('a mobile number of every country can be called', () => {
  const unpriced = getCountries().filter((country) => {
    const example = getExampleNumber(country, examples)
    return example !== undefined && findTelephonyRate(card, example.number) === null
  })

  expect(unpriced).toEqual([])
})

test('every prefix is under a calling code, and none is there twice', () => {
  const codes = [...callingCodes, ...withoutCountry]
  const prefixes = telephonyPrefixes.map(([prefix]) => prefix)

  expect(prefixes.filter((prefix) => !codes.some((code) => prefix.startsWith(code)))).toEqual([])
  expect(new Set(prefixes).size).toBe(prefixes.length)
  expect(prefixes).toEqual(prefixes.toSorted())
  expect(prefixes.length).toBeGreaterThanOrEqual(220)
})

test.each([
  ['+14155550100', '1', 80_000n],
  ['+12125550100', '1', 80_000n],
  ['+16135550100', '1', 80_000n],
  ['+18765550100', '1876', 290_000n],
  ['+442079460000', '44', 90_000n],
  ['+447012345678', '4470', 900_000n],
  ['+447911123456', '447', 110_000n],
  ['+4930123456', '49', 90_000n],
  ['+4915112345678', '4915', 110_000n],
  ['+881612345678', '8816', 8_200_000n],
])('a minute to %s is priced by %s', (number, prefix, amountMicros) => {
  const found = findTelephonyRate(card, number)

  expect(found?.prefix).toBe(prefix)
  expect(found && rateDuration(found.rate, 60).amountMicros).toBe(amountMicros)
})

test('nowhere is cheaper than a call within the United States', () => {
  const cheapest = parseRateAmount('0.08')

  expect(telephonyPrefixes.filter(([, , perMinuteUsd]) => parseRateAmount(perMinuteUsd) < cheapest)).toEqual(
    [],
  )
})

test('international premium numbers have no price, so that they are refused', () => {
  expect(findTelephonyRate(card, '+97912345678')).toBeNull()
})
