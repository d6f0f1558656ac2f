/** The characters of the story: who they are, and how scenes mention them. */
import { changeCharacters, charactersOf, failure, readCharacters, writeCharacters } from '../actions/settings.mjs'
import { h, set, whileBusy } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'
import { uploadOne } from '../story/upload.mjs'
import { createForm, field } from './form.mjs'
import { createLoras, suggestLoras } from './loras.mjs'

export function createCharacters(studio) {
  let people = []
  let shown = ''
  const list = h('div', { className: 'people' })
  const add = h('button', { type: 'button', className: 'wide', textContent: t('Add a character'), onclick: () => (put({}).focus(), form.touched()) })
  const form = createForm(studio, {
    name: 'characters',
    title: t('Characters'),
    read: fresh => readCharacters(studio, fresh),
    fill(characters) {
      people = []
      list.replaceChildren()
      for (const [key, character] of Object.entries(characters)) put(character, key)
      shown = JSON.stringify(value())
    },
    isChanged: () => shown !== '' && JSON.stringify(value()) !== shown,
    apply: () => changeCharacters(studio, value()),
  })
  const mention = createMention(studio)
  form.body.append(list, add)
  suggestLoras(studio, form.element)
  form.element.querySelector('summary').after(mention.element)

  function put(character, key = '') {
    const taken = () => people.filter(other => other !== one).map(other => other.key())
    const one = createPerson(studio, character, key, { taken, touched: () => form.touched(), remove })
    function remove() {
      people = people.filter(other => other !== one)
      one.element.remove()
      add.focus()
      form.touched()
    }
    people.push(one)
    list.append(one.element)
    return one
  }

  const value = () => Object.fromEntries(people.filter(one => one.key()).map(one => [one.key(), one.value()]))
  return {
    element: form.element,
    paint(scenes) {
      form.paint(scenes)
      mention.paint(scenes)
    },
  }
}

/** A character's fields; `key` is empty for a new one, which gets it from its name. */
function createPerson(studio, character, key, { taken, touched, remove }) {
  // What the panel does not show, such as a voice, stays.
  const { name, description, reference, loras, ...rest } = character
  const title = h('strong')
  const code = h('code')
  const words = {
    name: h('input', { value: name ?? key, required: true, maxLength: 100 }),
    description: h('textarea', { rows: 3, value: description ?? '', placeholder: t('Age, face, hair, clothes') }),
  }
  const gone = h('button', { type: 'button', textContent: t('Remove'), onclick: remove })
  const image = createReference(studio, reference, touched)
  const list = createLoras(t('LoRAs of the stills that show this character'), touched)
  list.show(loras ?? [])
  const keyNow = () => key || freeKey(words.name.value, taken())
  const paint = () => {
    const shown = words.name.value || t('New character')
    set(title, { textContent: shown })
    set(code, { textContent: keyNow() ? `{${keyNow()}}` : '' })
    code.title = t('Write this in a prompt, and the description takes its place')
    gone.setAttribute('aria-label', t('Remove {}', shown))
  }
  words.name.oninput = paint
  paint()
  return {
    element: h(
      'fieldset',
      { className: 'person' },
      h('div', { className: 'head' }, title, code, gone),
      field(t('Name'), words.name),
      field(t('Description'), words.description),
      image.element,
      list.element,
    ),
    key: keyNow,
    focus: () => words.name.focus(),
    value() {
      const shownName = words.name.value.trim()
      const values = {
        name: shownName === keyNow() ? (name ?? '') : shownName,
        description: words.description.value.trim(),
        reference: image.value(),
        loras: list.value(),
      }
      // The take of a sheet is of the sheet that the earlier description made.
      const { reference_take: take, ...others } = rest
      const kept = take && values.description === (description ?? '') && !values.reference ? rest : others
      return { ...kept, ...Object.fromEntries(Object.entries(values).filter(([, one]) => one && one.length)) }
    },
  }
}

/** The key of a new character, from its name; Chinese and other names that make none get a number. */
function freeKey(name, taken) {
  if (!name.trim()) return ''
  const plain = name.normalize('NFKD').replace(/[^\w\s-]/g, '').trim().toLowerCase().replace(/[\s_]+/g, '_').replace(/^[-_]+/, '').slice(0, 60)
  const stem = plain || 'character'
  const used = new Set(taken.map(key => key.toLowerCase()))
  for (let number = plain ? 1 : used.size + 1; ; number++) {
    const key = number === 1 && plain ? stem : `${stem}_${number}`
    if (!used.has(key)) return key
  }
}

/** The image of a character, chosen from this computer. */
function createReference(studio, name, touched) {
  let now = name ?? ''
  const image = h('img', { alt: t('Reference image') })
  const problem = h('span', { className: 'problem', role: 'alert' })
  const picker = h('input', { type: 'file', accept: 'image/*', hidden: true })
  const pick = h('button', { type: 'button', textContent: t('Reference image…'), onclick: () => pick.ariaBusy || (set(picker, { value: '' }), picker.click()) })
  const remove = h('button', { type: 'button', textContent: t('Remove the image'), onclick: () => (show(''), pick.focus(), touched()) })

  function show(wanted) {
    now = wanted
    const [, folder = '', filename] = /^(?:(.*)\/)?([^/]*)$/.exec(wanted) ?? []
    if (wanted) image.src = studio.url({ filename, subfolder: folder, type: 'input' })
    set(image, { hidden: !wanted, title: wanted })
    set(remove, { hidden: !wanted })
  }

  async function use(file) {
    set(problem, { textContent: '' })
    try {
      show(await uploadOne(studio.app, file))
    } catch (error) {
      set(problem, { textContent: error.message })
    }
    touched()
  }

  picker.onchange = () => whileBusy(pick, () => use(picker.files[0]))
  show(now)
  return { element: h('div', { className: 'reference' }, image, pick, remove, picker, problem), value: () => now }
}

/** Says that prompts on the canvas mention characters, and puts their descriptions there. */
function createMention(studio) {
  const text = h('p', { role: 'status' })
  const problem = h('p', { className: 'problem', role: 'alert', hidden: true })
  const button = h('button', { type: 'button', textContent: t('Put the descriptions in') })
  const element = h('div', { className: 'mention', hidden: true }, text, button, problem)
  button.onclick = () => whileBusy(button, write)

  async function write() {
    set(problem, { hidden: true })
    try {
      await writeCharacters(studio)
    } catch (error) {
      set(problem, { textContent: failure(error), hidden: false })
    }
  }

  return {
    element,
    paint(scenes) {
      const keys = Object.keys(charactersOf(studio))
      const named = scenes.filter(scene => keys.some(key => scene.prompt?.toLowerCase().includes(`{${key.toLowerCase()}}`)))
      set(element, { hidden: !named.length })
      set(text, { textContent: named.length ? t('These scenes mention characters by name only: {}.', named.map(scene => scene.name).join(', ')) : '' })
    },
  }
}
