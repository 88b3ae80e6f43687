/** Forms: what is typed, what is wrong with it, and the proof that the form is ours. */
import { flag, html, type Html } from './html.ts'

/** What was typed, by the name of its field, and what is wrong with it. Empty when a form is shown for the first time. */
export type Typed = {
  values: Readonly<Partial<Record<string, string>>>
  problems: Readonly<Partial<Record<string, string>>>
}

export const untyped: Typed = { values: {}, problems: {} }

export function csrfField({ csrf }: { csrf: string }): Html {
  return html`<input type="hidden" name="csrf" value="${csrf}" />`
}

type FieldOptions = {
  name: string
  label: string
  /** What is in it until something is typed. */
  value?: string
  hint?: string | null
  typed: Typed
  required?: boolean
}

/** Dollars. */
export function moneyField(options: FieldOptions & { placeholder?: string }): Html {
  return field(
    options,
    (attributes) =>
      html`<div class="prefixed">
        <span aria-hidden="true">$</span>
        <input
          class="money"
          type="text"
          inputmode="decimal"
          autocomplete="off"
          ${options.placeholder === undefined ? null : html`placeholder="${options.placeholder}"`}
          ${attributes}
        />
      </div>`,
  )
}

export function textField(
  options: FieldOptions & {
    type?: 'text' | 'email' | 'date' | 'search'
    inputmode?: 'numeric'
    autocomplete?: 'email' | 'off'
    list?: string
  },
): Html {
  const { type = 'text', inputmode, autocomplete = 'off', list } = options
  return field(
    options,
    (attributes) =>
      html`<input
        type="${type}"
        autocomplete="${autocomplete}"
        ${inputmode === undefined ? null : html`inputmode="${inputmode}"`}
        ${list === undefined ? null : html`list="${list}"`}
        ${attributes}
      />`,
  )
}

export type Choice = { value: string; title: string }

export function selectField(options: FieldOptions & { choices: readonly Choice[] }): Html {
  const chosen = options.typed.values[options.name] ?? options.value ?? ''
  const { id, described } = namesOf(options)
  return wrapped(
    options,
    html`<select id="${id}" name="${options.name}" ${described}>
      ${options.choices.map(
        ({ value, title }) =>
          html`<option value="${value}" ${flag('selected', value === chosen)}>${title}</option>`,
      )}
    </select>`,
  )
}

export function tickField({
  name,
  label,
  typed,
  required = false,
  ticked = false,
}: {
  name: string
  label: Html | string
  typed: Typed
  required?: boolean
  ticked?: boolean
}): Html {
  const problem = typed.problems[name]
  const isTicked = Object.keys(typed.values).length === 0 ? ticked : typed.values[name] !== undefined
  return html`<div class="field">
    <label class="tick" for="${name}">
      <input
        id="${name}"
        type="checkbox"
        name="${name}"
        value="yes"
        ${flag('checked', isTicked)}
        ${flag('required', required)}
        ${problem === undefined ? null : html`aria-invalid="true" aria-describedby="${name}-problem"`}
      />
      <span>${label}</span>
    </label>
    ${problem === undefined ? null : html`<p class="problem" id="${name}-problem">${problem}</p>`}
  </div>`
}

function field(options: FieldOptions, input: (attributes: Html) => Html): Html {
  const { name, typed, value = '', required = false } = options
  const { id, described } = namesOf(options)
  return wrapped(
    options,
    input(
      html`id="${id}" name="${name}" value="${typed.values[name] ?? value}" ${flag('required', required)}
      ${described}`,
    ),
  )
}

function wrapped({ name, label, hint, typed }: FieldOptions, input: Html): Html {
  const problem = typed.problems[name]
  return html`<div class="field">
    <label for="${name}">${label}</label>
    ${input} ${problem === undefined ? null : html`<p class="problem" id="${name}-problem">${problem}</p>`}
    ${hint === undefined || hint === null ? null : html`<p class="hint" id="${name}-hint">${hint}</p>`}
  </div>`
}

function namesOf({ name, hint, typed }: FieldOptions): { id: string; described: Html | null } {
  const isWrong = typed.problems[name] !== undefined
  const describing = [
    ...(isWrong ? [`${name}-problem`] : []),
    ...(hint === undefined || hint === null ? [] : [`${name}-hint`]),
  ]
  const described =
    describing.length === 0
      ? null
      : html`aria-describedby="${describing.join(' ')}" ${isWrong ? html`aria-invalid="true"` : null}`
  return { id: name, described }
}
