/** Edits a scene on its card: its words, its place, a copy of it; and adds scenes. */
import { add, append, duplicate, isNew, moveBy, moveTo, remove, type, typed } from '../actions/edit.mjs'
import { endTyping } from '../canvas/undo.mjs'
import { h, set } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'

const FIELDS = [
  ['title', 'Title', 'input'],
  ['prompt', 'Prompt', 'textarea'],
  ['text', 'What is said', 'textarea'],
  ['movement', 'Movement', 'textarea'],
]
/** Pixels from the edge of the panel at which dragging scrolls it, and how far at a time. */
const EDGE = 48
const SCROLL = 14

/** The handle that a card is dragged by; its arrow keys move the card too. */
export function createHandle(id, studio) {
  const element = h('button', { type: 'button', className: 'card-handle edit', textContent: '⠿' })
  const drag = createDrag(element, to => moveTo(studio, id, to))
  element.onkeydown = event => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key]
    if (event.key === 'Escape' && drag.cancel()) event.stopPropagation()
    if (!by || !event.altKey) return
    event.preventDefault()
    event.stopPropagation()
    moveBy(studio, id, by)
  }
  return {
    element,
    paint(scene, title) {
      set(element, { hidden: !scene.in_film, title: t('Drag to another place, or press Alt with the up or down arrow') })
      element.setAttribute('aria-label', t('Move {}: Alt with the up or down arrow', title))
    },
  }
}

/** The buttons of a card, and its fields once they are opened. */
export function createEditor(id, studio) {
  const button = (label, act) => h('button', { type: 'button', textContent: t(label), onclick: act })
  const open = button('Edit', () => toggle(!form))
  const buttons = [['Edit {}', open], ['Duplicate {}', button('Duplicate', () => duplicate(studio, id))], ['Remove {}', button('Remove', () => remove(studio, id))], ['Add {} to the film', button('Add to the film', () => append(studio, id))]]
  const [, , [, gone], [, join]] = buttons
  const tools = h('div', { className: 'tools' }, ...buttons.map(([, one]) => one))
  const element = h('div', { className: 'edit' }, tools)
  let form = null
  let shown = null

  function toggle(wanted) {
    form?.element.remove()
    form = wanted ? createForm(id, studio) : null
    if (form) element.prepend(form.element)
    open.setAttribute('aria-expanded', String(wanted))
    if (shown) form?.paint(shown)
  }

  toggle(false)
  return {
    element,
    edit() {
      toggle(true)
      form.focus()
    },
    paint(scene, title) {
      shown = scene
      for (const [label, one] of buttons) one.setAttribute('aria-label', t(label, title))
      set(open, { hidden: !Object.values(scene.fields ?? {}).some(Boolean) })
      set(gone, { disabled: studio.model.scenes.length < 2, title: studio.model.scenes.length < 2 ? t('The only scene stays: others are made like it') : '' })
      set(join, { hidden: scene.in_film || !scene.clip })
      form?.paint(scene)
      if (!isNew(studio, scene)) return
      element.dispatchEvent(new Event('unfold', { bubbles: true }))
      toggle(true)
      element.closest('li').scrollIntoView({ block: 'nearest' })
      form.focus()
    },
  }
}

function createForm(id, studio) {
  const fields = FIELDS.map(([name, label, kind]) => {
    const input = h(kind, {
      dir: 'auto',
      oninput: () => (fit(input), type(studio, id, name, input.value)),
      onchange: () => (endTyping(studio.app), forgetTyping(input)),
      // What was typed and taken back is no change.
      onblur: () => endTyping(studio.app),
    })
    return { name, input, element: h('label', {}, h('span', { textContent: t(label) }), input) }
  })
  const element = h('div', { className: 'fields' }, ...fields.map(field => field.element))
  // Keys that are typed here are no shortcuts of ComfyUI's.
  element.onkeydown = event => event.stopPropagation()
  return {
    element,
    focus: () => (fields.find(field => field.name === 'prompt' && !field.element.hidden) ?? fields[0]).input.focus({ preventScroll: true }),
    paint(scene) {
      for (const { name, input, element: label } of fields) {
        const value = typed(studio, scene, name)
        set(label, { hidden: value === undefined })
        if (value === undefined || value === input.value) continue
        set(input, { value })
        fit(input)
      }
    },
  }
}

/** From now on Ctrl+Z is ComfyUI's: browsers undo what was last typed anywhere on the page as well. */
function forgetTyping(input) {
  const { value } = input
  input.value = ''
  input.value = value
}

/** Makes a text box as high as its text. */
function fit(input) {
  if (input.tagName !== 'TEXTAREA') return
  input.style.height = 'auto'
  if (input.scrollHeight) input.style.height = `${input.scrollHeight + 2}px`
}

/** The button below the scenes that adds one, and what was done, for those who do not see it. */
export function createAdding(studio) {
  const button = h('button', { type: 'button', className: 'add', textContent: t('+ Add a scene'), title: t('At the end, made like the last one'), onclick: () => add(studio) })
  const status = h('p', { className: 'announcement', role: 'status' })
  return { element: h('div', { className: 'edit' }, button, status), paint: scenes => set(button, { hidden: !scenes.length }) }
}

/** The list of the scenes that are not in the film. */
export function createApart() {
  const list = h('ol')
  const element = h('section', { className: 'apart', aria: { label: t('Not in the film') } }, h('h3', { textContent: t('Not in the film') }), list)
  return { element, list, paint: scenes => set(element, { hidden: !scenes.length }) }
}

/** Lets a card be dragged within its list by a handle; calls `drop` with its new number, from 0. */
function createDrag(handle, drop) {
  let to = -1
  const card = () => handle.closest('li')
  const cards = () => [...card().parentElement.children]

  function aim(y) {
    const all = cards()
    const from = all.indexOf(card())
    const before = all.findIndex(one => y < one.getBoundingClientRect().top + one.offsetHeight / 2)
    const gap = before < 0 ? all.length : before
    to = gap > from ? gap - 1 : gap
    all.forEach((one, index) => {
      one.classList.toggle('drop-before', to !== from && index === gap)
      one.classList.toggle('drop-after', to !== from && gap === all.length && index === gap - 1)
    })
  }

  function cancel() {
    const was = to >= 0
    if (was) for (const one of cards()) one.classList.remove('drop-before', 'drop-after', 'dragged')
    to = -1
    return was
  }

  handle.onpointerdown = event => {
    if (event.button) return
    handle.setPointerCapture(event.pointerId)
    card().classList.add('dragged')
    to = cards().indexOf(card())
  }
  handle.onpointermove = event => {
    if (to < 0) return
    const panel = handle.closest('.story-studio')
    const { top, bottom } = panel.getBoundingClientRect()
    if (event.clientY < top + EDGE) panel.scrollTop -= SCROLL
    if (event.clientY > bottom - EDGE) panel.scrollTop += SCROLL
    aim(event.clientY)
  }
  handle.onpointerup = () => {
    const [wanted, from] = [to, cards().indexOf(card())]
    if (cancel() && wanted !== from) drop(wanted)
  }
  handle.onpointercancel = cancel
  return { cancel }
}
