/** A field of a form: a choice, a number, a text, or a box to tick. */
import { h, set } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'

/**
 * Builds the field that is described.
 *
 * @param field `label`; `on` and `name`, of the widget; one of `choices` (pairs of a value and a label, or a function that
 *   returns them), `number` (`min`, `max`, `step`), `text` (`line` or `lines`) and `check`; `from`, its value from those of
 *   the widgets; and `when`, whether it is shown.
 * @param change is called with the field and its new value.
 */
export function createField(field, change) {
  const control = controlOf(field)
  // By itself, a list of choices around which its label stands would be named after its choices too.
  control.setAttribute('aria-label', t(field.label))
  const element = h('label', { className: 'field' }, h('span', { textContent: t(field.label) }), control)
  let last = ''
  const named = field.check ? 'checked' : 'value'
  control.onchange = () => change(field, field.number ? numberIn(control, field.number, last) : control[named])
  return {
    element,
    paint(values) {
      const own = values[field.on]
      const value = field.from ? field.from(own) : (own?.[field.name] ?? (field.check ? false : ''))
      const shown = field.check ? Boolean(value) : String(value)
      set(element, { hidden: field.when ? !field.when(values) : false })
      set(control, { disabled: values.isSet(field.on, field.name) })
      element.title = control.disabled ? t('It is linked on the canvas: change it there.') : ''
      last = shown
      // What is being typed stays.
      if (document.activeElement === control && !field.check && !field.choices) return
      if (field.choices) offerChoice(control, shown)
      set(control, { [named]: shown })
    },
  }
}

function controlOf({ choices, number, text, check }) {
  const options = typeof choices === 'function' ? choices() : choices
  if (options) return h('select', {}, ...options.map(([value, label]) => h('option', { value, textContent: t(label) })))
  if (number) return h('input', { type: 'number', ...number })
  if (check) return h('input', { type: 'checkbox' })
  return text === 'lines' ? h('textarea', { rows: 3 }) : h('input', { type: 'text' })
}

/** The number in a control, within its limits; the `last` one if it is empty. */
function numberIn(control, { min, max }, last) {
  const value = Math.min(max, Math.max(min, Number(control.value === '' ? last : control.value) || 0))
  control.value = String(value)
  return value
}

/** Offers a value that was set on the canvas, and that is none of the choices. */
function offerChoice(select, value) {
  if ([...select.options].some(option => option.value === value)) return
  select.append(h('option', { value, textContent: value }))
}
