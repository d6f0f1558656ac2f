/** Edits the scenes from the panel; each edit is one step of undo. */
import { appendScene, copyScene, followTitle, inputsOf, moveScene, removeScene } from '../canvas/scenes.mjs'
import { captureState, widgetOf } from '../canvas/widgets.mjs'
import { CIRCLE } from '../shared/nodes.mjs'
import { ask } from '../shared/server.mjs'
import { t } from '../shared/words.mjs'

/**
 * Edits the scenes, and says what was done to those who do not see it.
 *
 * @param change is given what the model says now; returns what to announce.
 */
async function edit(studio, change) {
  await studio.refresh()
  const { model } = studio
  try {
    const text = change(model)
    studio.runs.session().problem = ''
    await studio.refresh()
    announce(text)
  } catch (error) {
    studio.say(error.message)
  }
}

/** Says something to screen readers. */
function announce(text) {
  const status = document.querySelector('.story-studio .announcement')
  if (status) status.textContent = text
}

const inFilm = model => model.scenes.filter(scene => scene.in_film)

/** Moves a scene to another number, from 0. */
export const moveTo = (studio, id, to) =>
  edit(studio, model => {
    const film = inFilm(model)
    const from = film.findIndex(scene => scene.id === id)
    const wanted = Math.max(0, Math.min(film.length - 1, to))
    if (from < 0 || from === wanted) return ''
    moveScene(studio.app, model, id, wanted)
    return t('{} is now scene {} of {}.', film[from].name, wanted + 1, film.length)
  })

/** Moves a scene by some places. */
export const moveBy = (studio, id, by) => moveTo(studio, id, inFilm(studio.model).findIndex(scene => scene.id === id) + by)

/** Copies a scene with all that it says. */
export const duplicate = (studio, id) =>
  edit(studio, model => {
    const scene = studio.scene(id)
    const title = freeName(model, scene.name || t('Scene'))
    const nodes = copyScene(studio.app, model, id, { title }, false)
    openNew(nodes)
    return t('{} was added after {}.', title, scene.name)
  })

/** Adds a scene at the end, made like the last one with a prompt, with nothing written in it. */
export const add = studio =>
  edit(studio, model => {
    const film = inFilm(model)
    // A scene with an image of its own has no prompt to write.
    const last = film.findLast(scene => scene.fields.prompt) ?? film.at(-1)
    if (!last) throw new Error(t('No scene is in the film yet: add one of those below to it.'))
    const title = freeName(model, `${t('Scene')} ${film.length + 1}`)
    const nodes = copyScene(studio.app, model, last.id, { title, prompt: '', text: '' }, true)
    openNew(nodes)
    return t('{} was added.', title)
  })

export const remove = (studio, id) =>
  edit(studio, model => {
    const { name } = studio.scene(id)
    removeScene(studio.app, model, id)
    return t('{} was removed. Ctrl+Z brings it back.', name)
  })

/** Adds a scene that stands apart to the end of the film. */
export const append = (studio, id) =>
  edit(studio, model => {
    appendScene(studio.app, model, id)
    return t('{} is now the last scene of the film.', studio.scene(id).name)
  })

/** Types in a field of a scene; `done` once it is typed, which makes a step of undo. */
export function type(studio, id, name, value, done) {
  const before = typed(studio, studio.scene(id), name)
  for (const { path, input } of inputsOf(studio.app, studio.scene(id), name)) {
    const widget = widgetOf(path, input)
    if (widget.value === value) continue
    widget.value = value
    widget.callback?.(value, studio.app.canvas)
  }
  if (name === 'title' && value) followTitle(studio.app, studio.model, id, before, value)
  studio.app.graph.setDirtyCanvas(true, true)
  if (done) captureState(studio.app)
  studio.refreshSoon()
}

/** What is typed in a field of a scene; undefined if it has no such field. */
export function typed(studio, scene, name) {
  const field = scene.fields?.[name]
  const [first] = field ? inputsOf(studio.app, scene, name) : []
  const value = first && widgetOf(first.path, first.input)?.value
  return typeof value === 'string' ? value : undefined
}

/** Follows what is typed on the canvas, leaves Ctrl+Z to it, and says when a run makes no film because its scenes are in a circle. */
export function followCanvas(studio) {
  document.addEventListener('input', event => event.target.closest?.('.story-studio') || studio.refreshSoon(), true)
  // Ctrl+Z is ComfyUI's then: browsers would undo what was last typed anywhere on the page as well, and go there.
  window.addEventListener('keydown', event => {
    const isUndo = (event.ctrlKey || event.metaKey) && ['z', 'y'].includes(event.key.toLowerCase())
    if (isUndo && !event.target.closest?.('input, textarea, [contenteditable]')) event.preventDefault()
  })
  studio.app.api.addEventListener('promptQueued', async () => {
    try {
      const { output } = await studio.app.graphToPrompt()
      if (!Object.values(output).some(node => node.class_type === 'StoryStudio_FilmScene')) return
      const { scenes } = await ask(studio.app, 'scenes', { prompt: output })
      if (scenes.some(scene => scene.circle)) studio.toast('error', t(CIRCLE))
    } catch (error) {
      console.warn('Story Studio:', error)
    }
  })
}

/** The nodes of a scene that was added, until the panel has read it. */
let added = new Set()

const openNew = nodes => (added = new Set(nodes.map(node => String(node.id))))

/** Whether a scene was just added; true once. */
export function isNew(scene) {
  const is = scene.id.split(' ').some(id => added.has(id.split(':')[0]))
  if (is) added = new Set()
  return is
}

function freeName(model, name) {
  const taken = new Set(model.scenes.map(scene => scene.name))
  if (!taken.has(name)) return name
  const stem = name.replace(/ \d+$/, '')
  let number = 2
  while (taken.has(`${stem} ${number}`)) number++
  return `${stem} ${number}`
}
