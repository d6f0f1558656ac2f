/** Forms of the panel's sections that change the whole story. */
import { failure } from '../actions/settings.mjs'
import { h, set } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'

/** A labelled control. */
export function field(label, control) {
  // By itself, a list of choices around which its label stands would be named after its choices too.
  control.setAttribute('aria-label', label)
  return h('label', {}, h('span', { textContent: label }), control)
}

/**
 * A section that folds, with a form that reads the story when it opens, and again when the canvas changes unless
 * something was typed.
 *
 * @param props `name`, of its class; `title`; `read(fresh)`, a promise of what the form shows, for which the
 *   canvas is read again if `fresh`; `fill(values)`; `isChanged()`; `apply()`, a promise of whether the story was changed.
 * @returns `element`; `paint()`; `touched()`, to call when something was typed; `body`, where the fields go.
 */
export function createForm(studio, { name, title, read, fill, isChanged, apply }) {
  const body = h('div', { className: 'fields' })
  const problem = h('p', { className: 'problem', role: 'alert', hidden: true })
  const button = h('button', { type: 'submit', textContent: t('Apply') })
  const discard = h('button', { type: 'button', textContent: t('Discard'), onclick: () => load({ discards: true }) })
  const status = h('span', { className: 'status', role: 'status' })
  const form = h('form', { hidden: true }, body, problem, h('div', { className: 'tools' }, button, discard, status))
  const element = h('details', { className: `whole ${name}` }, h('summary', { textContent: title }), form)
  /** The graph that the form shows, and the model's object of it or of one that is equal. */
  let known = ''
  let seen = null
  let busy = false

  const graph = () => JSON.stringify(studio.model.prompt)

  async function work(text, act) {
    if (busy) return
    busy = true
    set(status, { textContent: text })
    form.setAttribute('aria-busy', 'true')
    set(problem, { hidden: true })
    try {
      await act()
    } catch (error) {
      set(problem, { textContent: error.message, hidden: false })
    }
    busy = false
    known = graph()
    seen = studio.model.prompt
    form.removeAttribute('aria-busy')
    set(status, { textContent: '' })
    touched()
  }

  const load = ({ discards = false, fresh = true } = {}) =>
    work(t('Reading the story…'), async () => {
      const story = await read(fresh)
      // What was typed while it was read stays.
      if (discards || form.hidden || !isChanged()) fill(story)
      form.hidden = false
    })

  function touched() {
    const some = isChanged()
    // A disabled button would lose the focus.
    for (const one of [button, discard]) one.setAttribute('aria-disabled', String(!some || busy))
  }

  form.onsubmit = event => {
    event.preventDefault()
    if (!isChanged()) return
    work(t('Changing the story…'), async () => {
      const done = await apply().catch(error => {
        throw new Error(failure(error))
      })
      if (done) fill(await read(true))
    }).then(() => set(status, { textContent: isChanged() || !problem.hidden ? '' : t('Applied. Ctrl+Z undoes it.') }))
  }
  form.oninput = touched
  form.onchange = touched
  element.ontoggle = () => {
    if (element.open) load()
  }
  return {
    element,
    body,
    touched,
    paint(scenes) {
      set(element, { hidden: !scenes.length })
      if (!element.open || !scenes.length || busy || seen === studio.model.prompt || isChanged()) return
      if (known === graph()) seen = studio.model.prompt
      // The canvas was read this moment.
      else load({ fresh: false })
    },
  }
}
