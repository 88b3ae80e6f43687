/**
 * Makes schemas of the OpenAPI document readable: what zod has to say for a machine to check is left out where the words beside
 * it say the same, such as the pattern of a date under `format: date-time`. Nothing that is left out was needed to ask rightly.
 */

/** Shape: a copy of anything in the document. */
export function tidy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(tidy)
  if (typeof value !== 'object' || value === null) return value
  const node = new Map(Object.entries(value))
  const type = node.get('type')
  if (typeof node.get('pattern') === 'string' && (node.has('format') || isNumeric(type)))
    node.delete('pattern')
  if (isNumeric(type) && typeof node.get('default') === 'string') {
    node.set('default', JSON.parse(String(node.get('default'))))
  }
  if (node.get('maximum') === Number.MAX_SAFE_INTEGER) node.delete('maximum')
  if (node.get('minimum') === Number.MIN_SAFE_INTEGER) node.delete('minimum')
  const names = node.get('propertyNames')
  if (isOnlyString(names)) node.delete('propertyNames')
  return Object.fromEntries([...node].map(([name, inner]) => [name, tidy(inner)]))
}

function isNumeric(type: unknown): boolean {
  return type === 'integer' || type === 'number'
}

/** Every name is a text. */
function isOnlyString(schema: unknown): boolean {
  return JSON.stringify(schema) === '{"type":"string"}'
}
