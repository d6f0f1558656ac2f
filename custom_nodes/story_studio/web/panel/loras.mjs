/** A list of LoRAs with their strengths. */
import { listLoras } from '../actions/settings.mjs'
import { h } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'

/** The files in models/loras, which every list of the panel suggests. */
const names = h('datalist', { id: 'story-studio-loras' })

/** Reads the files that are suggested whenever a section is opened. */
export function suggestLoras(studio, section) {
  section.addEventListener('toggle', async () => {
    if (!section.open) return
    // There is one list for all sections.
    section.closest('.story-studio').append(names)
    names.replaceChildren(...(await listLoras(studio)).map(value => h('option', { value })))
  })
}

/**
 * @param label what the LoRAs are for.
 * @param touched is called when one is added or removed.
 * @returns `element`; `show(loras)`; `value()`, as a story file has them.
 */
export function createLoras(label, touched) {
  const rows = h('div', { className: 'rows' })
  const add = h('button', { type: 'button', textContent: t('Add a LoRA'), onclick: () => (row().file.focus(), touched()) })
  const element = h('div', { className: 'loras', role: 'group', aria: { label } }, h('span', { textContent: label }), rows, add)
  let shown = []

  function row({ file = '', strength = 1 } = {}) {
    const one = {
      file: h('input', { value: file, placeholder: t('A file in models/loras'), aria: { label: t('LoRA') } }),
      strength: h('input', { type: 'number', step: '0.05', min: '-10', max: '10', value: String(strength), aria: { label: t('Strength') } }),
    }
    one.file.setAttribute('list', names.id)
    const remove = h('button', { type: 'button', textContent: '×', title: t('Remove this LoRA'), aria: { label: t('Remove this LoRA') } })
    one.element = h('div', { className: 'row' }, one.file, one.strength, remove)
    remove.onclick = () => {
      shown = shown.filter(other => other !== one)
      one.element.remove()
      add.focus()
      touched()
    }
    shown.push(one)
    rows.append(one.element)
    return one
  }

  return {
    element,
    show(loras) {
      shown = []
      rows.replaceChildren()
      for (const lora of loras) row(typeof lora === 'string' ? { file: lora } : lora)
    },
    value: () =>
      shown
        .filter(one => one.file.value.trim())
        .map(one => ({ file: one.file.value.trim(), strength: one.strength.value === '' ? 1 : Number(one.strength.value) })),
  }
}
