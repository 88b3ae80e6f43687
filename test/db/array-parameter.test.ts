// What is sent as a binary array arrives as it was: Postgres reads back every value that may be in a posting.
import * as fc from 'fast-check'
import { sql, type RawBuilder } from 'kysely'
import { describe, expect } from 'vitest'

import {
  bigintArray,
  byteaArray,
  instantArray,
  integerArray,
  smallintArray,
  textArray,
} from '../../db/array-parameter.ts'
import { sqlStateOf } from '../support/refusal.ts'
import { test } from '../support/fixtures.ts'
import type { Db } from '../../db/schema.ts'

const runs = { numRuns: 60 }
const arrayOf = <Value>(value: fc.Arbitrary<Value>) => fc.array(fc.option(value), { maxLength: 20 })

describe('an array', () => {
  test('of texts', async ({ db }) => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('', 'null', '{}', '"', '\\', ',', 'é𝄞'),
    )
    await fc.assert(
      fc.asyncProperty(arrayOf(text.filter((each) => !each.includes('\0'))), async (values) => {
        expect(await readBack(db, sql`${textArray(values)}::text[]`)).toEqual(values)
      }),
      runs,
    )
  })

  test('of bigints, to the largest and smallest there are', async ({ db }) => {
    const bigint = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    await fc.assert(
      fc.asyncProperty(arrayOf(bigint), async (values) => {
        expect(await readBack(db, sql`${bigintArray(values)}::bigint[]`)).toEqual(values)
      }),
      { ...runs, examples: [[[-(2n ** 63n), 2n ** 63n - 1n, 0n, -1n, null]]] },
    )
  })

  test('of integers and small ones', async ({ db }) => {
    await fc.assert(
      fc.asyncProperty(
        arrayOf(fc.integer()),
        arrayOf(fc.integer({ min: -32_768, max: 32_767 })),
        async (integers, smallints) => {
          expect(await readBack(db, sql`${integerArray(integers)}::integer[]`)).toEqual(integers)
          expect(await readBack(db, sql`${smallintArray(smallints)}::smallint[]`)).toEqual(smallints)
        },
      ),
      runs,
    )
  })

  test('of bytes', async ({ db }) => {
    const bytes = fc.uint8Array({ maxLength: 64 }).map((each) => Buffer.from(each))
    await fc.assert(
      fc.asyncProperty(arrayOf(bytes), async (values) => {
        expect(await readBack(db, sql`${byteaArray(values)}::bytea[]`)).toEqual(values)
      }),
      runs,
    )
  })

  test('of instants, to the millisecond, before and after the year 2000', async ({ db }) => {
    const instant = fc.date({ min: new Date('1900-01-01'), max: new Date('2400-01-01'), noInvalidDate: true })
    await fc.assert(
      fc.asyncProperty(arrayOf(instant), async (values) => {
        expect(await readBack(db, sql`${instantArray(values)}::timestamptz[]`)).toEqual(values)
      }),
      {
        ...runs,
        examples: [[[new Date(0), new Date('1999-12-31T23:59:59.999Z'), new Date('2000-01-01T00:00:00Z')]]],
      },
    )
  })

  test('that is empty', async ({ db }) => {
    expect(await readBack(db, sql`${textArray([])}::text[]`)).toEqual([])
  })

  test('with a text that Postgres cannot hold is refused as the fault of that text', async ({ db }) => {
    expect(await sqlStateOf(db, sql`select ${textArray(['a\0b'])}::text[]`)).toBe('22021')
  })
})

/** Postgres unpacks the array; only single values come back, which the driver reads as it always does. */
async function readBack(db: Db, array: RawBuilder<unknown>): Promise<unknown[]> {
  const { rows } = await sql<{ value: unknown }>`
    select value from unnest(${array}) with ordinality as each (value, place) order by place`.execute(db)
  return rows.map((row) => row.value)
}
