/** placeholder while the table is typed */
export const telephonyPrefixes: readonly (readonly [prefix: string, place: string, perMinuteUsd: string])[] =
  [['1', 'United States, Canada', '0.08']]
