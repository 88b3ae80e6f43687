/**
 * Arrays as parameters, in Postgres' binary form: nothing to quote, escape or parse on either side. As text, the arrays of
 * a posting batch cost more processor time than the rating of its events. pg sends a Buffer as a binary parameter; the
 * statement says the type (`::bigint[]`). An enum is sent as text and cast in the statement.
 */

export function textArray(values: readonly (string | null)[]): Buffer {
  return encode(25, values, {
    size: (value) => Buffer.byteLength(value),
    write: (into, value, at) => into.write(value, at),
  })
}

export function bigintArray(values: readonly (bigint | null)[]): Buffer {
  return encode(20, values, { size: () => 8, write: (into, value, at) => into.writeBigInt64BE(value, at) })
}

export function integerArray(values: readonly (number | null)[]): Buffer {
  return encode(23, values, { size: () => 4, write: (into, value, at) => into.writeInt32BE(value, at) })
}

export function smallintArray(values: readonly (number | null)[]): Buffer {
  return encode(21, values, { size: () => 2, write: (into, value, at) => into.writeInt16BE(value, at) })
}

export function byteaArray(values: readonly (Buffer | null)[]): Buffer {
  return encode(17, values, {
    size: (value) => value.length,
    write: (into, value, at) => value.copy(into, at),
  })
}

/** 64 bits of microseconds since 2000; dates have whole milliseconds. Two 32-bit halves are cheaper than a bigint. */
export function instantArray(values: readonly (Date | null)[]): Buffer {
  return encode(1184, values, {
    size: () => 8,
    write: (into, value, at) => {
      const micros = (value.getTime() - y2k) * 1_000
      into.writeInt32BE(Math.floor(micros / 4_294_967_296), at)
      into.writeUInt32BE(((micros % 4_294_967_296) + 4_294_967_296) % 4_294_967_296, at + 4)
    },
  })
}

const y2k = Date.UTC(2000, 0, 1)

/** Header: dimensions, whether there are nulls, type of the elements, how many, first index. Then length and bytes of each. */
function encode<Value>(
  elementType: number,
  values: readonly (Value | null)[],
  {
    size,
    write,
  }: { size: (value: Value) => number; write: (into: Buffer, value: Value, at: number) => unknown },
): Buffer {
  let length = 20 + 4 * values.length
  for (const value of values) if (value !== null) length += size(value)
  const into = Buffer.allocUnsafe(length)
  let nulls = 0
  let at = 20
  for (const value of values) {
    if (value === null) {
      nulls = 1
      into.writeInt32BE(-1, at)
      at += 4
    } else {
      const bytes = size(value)
      into.writeInt32BE(bytes, at)
      write(into, value, at + 4)
      at += 4 + bytes
    }
  }
  into.writeInt32BE(1, 0)
  into.writeInt32BE(nulls, 4)
  into.writeInt32BE(elementType, 8)
  into.writeInt32BE(values.length, 12)
  into.writeInt32BE(1, 16)
  return into
}
