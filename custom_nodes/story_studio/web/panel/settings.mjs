/** The settings of the whole story, and the switch between its draft and the real one. */
import { changeSettings, DRAFT, failure, FORMATS, isDraft, readSettings, realProfile, RESOLUTIONS, switchProfile } from '../actions/settings.mjs'
import { h, set } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'
import { createForm, field } from './form.mjs'
import { createLoras, suggestLoras } from './loras.mjs'

const PROFILES = {
  draft: 'Draft: title cards, no models',
  turbo: 'Turbo: 4 steps, moves less',
  standard: 'Standard: 20 steps',
  quality: 'Quality: 40 steps, 16 bits',
}
const MOST_RETAKES = 5

export function createSettings(studio) {
  const { element, controls, value } = createFields(() => form.touched())
  let shown = {}
  const changed = () => Object.fromEntries(Object.keys(controls).filter(name => !same(value(name), shown[name])).map(name => [name, value(name)]))
  const form = createForm(studio, {
    name: 'settings',
    title: t('Settings of the story'),
    read: fresh => readSettings(studio, fresh),
    fill(values) {
      for (const [name, control] of Object.entries(controls)) control.show(values[name])
      // As the controls have it, which may write the same in another way.
      shown = Object.fromEntries(Object.keys(controls).map(name => [name, value(name)]))
    },
    isChanged: () => Object.keys(changed()).length > 0,
    apply: () => changeSettings(studio, changed()),
  })
  form.body.append(...element)
  suggestLoras(studio, form.element)
  return { element: form.element, paint: form.paint }
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other)

function createFields(touched) {
  const plain = input => ({ input, show: value => (input.value = value), value: () => input.value })
  const number = (min, max) => plain(h('input', { type: 'number', min: String(min), max: String(max), step: '1', placeholder: t('As in the profile') }))
  const area = (placeholder = '') => plain(h('textarea', { rows: 2, placeholder }))
  const choice = options => {
    const input = h('select', {}, ...options.map(([value, label]) => h('option', { value, textContent: label })))
    const show = value => {
      if (![...input.options].some(one => one.value === value)) input.append(h('option', { value, textContent: value || t('From the size') }))
      input.value = value
    }
    return { input, show, value: () => input.value }
  }
  const sizes = h('datalist', { id: 'story-studio-sizes' }, ...RESOLUTIONS.map(value => h('option', { value })))
  const size = plain(h('input', { pattern: '(480p|720p|\\d{2,4}\\s*[x×]\\s*\\d{2,4})', required: true, title: t('480p, 720p or a width and a height such as 640x360') }))
  size.input.setAttribute('list', sizes.id)
  const loras = createLoras(t('LoRAs of all stills'), touched)
  const controls = {
    profile: choice(Object.entries(PROFILES).map(([name, label]) => [name, t(label)])),
    format: choice(FORMATS.map(name => [name, name])),
    resolution: size,
    still_steps: number(1, 200),
    clip_steps: number(1, 200),
    loras,
    style: area(),
    seed: number(0, Number.MAX_SAFE_INTEGER),
    still_negative: area(t('As in the profile')),
    clip_negative: area(t('As in the profile')),
    retakes: number(0, MOST_RETAKES),
  }
  const labels = {
    profile: t('Profile'),
    format: t('Aspect ratio of the clips'),
    resolution: t('Size of the clips'),
    still_steps: t('Steps of stills'),
    clip_steps: t('Steps of clips'),
    style: t('Style of all scenes'),
    seed: t('Seed of the story'),
    still_negative: t('Negative prompt of stills'),
    clip_negative: t('Negative prompt of clips'),
    retakes: t('New takes of clips that fail their check'),
  }
  const element = Object.entries(controls).map(([name, control]) => control.element ?? field(labels[name], control.input))
  return { element: [...element, sizes], controls, value: name => controls[name].value() }
}

/** One button each for the draft and the real story. */
export function createSwitch(studio) {
  const modes = [
    [t('Draft'), true, t('Title cards instead of models: the whole story in seconds')],
    [t('Real'), false, t('With models, and the settings that the story had with them')],
  ]
  const buttons = modes.map(([label, draft, title]) => h('button', { type: 'button', textContent: label, title, onclick: () => go(draft) }))
  const status = h('span', { className: 'status', role: 'status' })
  const problem = h('p', { className: 'problem', role: 'alert', hidden: true })
  const element = h('div', { className: 'switch' }, h('div', { className: 'tools', role: 'group', aria: { label: t('Draft or real') } }, ...buttons, status), problem)
  let busy = false

  async function go(draft) {
    if (busy || draft === isDraft(studio)) return
    busy = true
    set(problem, { hidden: true })
    set(status, { textContent: t('Changing the story…') })
    element.setAttribute('aria-busy', 'true')
    try {
      await switchProfile(studio, draft ? DRAFT : realProfile(studio))
    } catch (error) {
      set(problem, { textContent: failure(error), hidden: false })
    }
    busy = false
    element.removeAttribute('aria-busy')
    set(status, { textContent: '' })
  }

  return {
    element,
    paint(scenes) {
      set(element, { hidden: !scenes.length })
      const draft = isDraft(studio)
      modes.forEach(([, mode], index) => buttons[index].setAttribute('aria-pressed', String(mode === draft)))
    },
  }
}
