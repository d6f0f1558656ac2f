/** Edits the scenes from the panel; each edit is one step of undo. */
import { appendScene, copyScene, followTitle, inputsOf, moveScene, removeScene } from '../canvas/scenes.mjs'
import { captureTyping } from '../canvas/undo.mjs'
import { putValue, widgetOf } from '../canvas/widgets.mjs'
import { CIRCLE } from '../shared/nodes.mjs'
import { ask } from '../shared/server.mjs'
import { t } from '../shared/words.mjs'
import { inTurn } from './turn.mjs'

/**
 * Edits the scenes, and says what was done to those who do not see it.
 *
 * @param change is given what the model says now; returns what to announce. If it fails, the canvas stays as it was.
 * @param id the scene that it is for.
 */
function edit(studio, change, id) {
  return inTurn(studio, async () => {
    try {
      const text = await change(studio.model)
      studio.runs.session().problem = ''
      await studio.refresh()
      announce(text)
    } catch (error) {
      studio.say(error.message)
    }
  }, { id })
}

/** Says something to screen readers. */
function announce(text) {
  const status = document.querySelector('.story-studio .announcement')
  if (status) status.textContent = text
}

const inFilm = model => model.scenes.filter(scene => scene.in_film)

/** Moves a scene to another number, from 0. */
export const moveTo = (studio, id, to) => move(studio, id, () => to)

/** Moves a scene by some places. */
export const moveBy = (studio, id, by) => move(studio, id, from => from + by)

/** Moves a scene to the number that `goal` gives for its own. */
const move = (studio, id, goal) =>
  edit(studio, async model => {
    const film = inFilm(model)
    const from = film.findIndex(scene => scene.id === id)
    const wanted = Math.max(0, Math.min(film.length - 1, goal(from)))
    if (from < 0 || from === wanted) return ''
    await moveScene(studio.app, model, id, wanted)
    return t('{} is now scene {} of {}.', film[from].name, wanted + 1, film.length)
  }, id)

/** Copies a scene with all that it says. */
export const duplicate = (studio, id) =>
  edit(studio, async model => {
    const scene = studio.scene(id)
    const title = freeName(model, scene.name || t('Scene'))
    const nodes = await copyScene(studio.app, model, id, { title }, false)
    openNew(model, nodes)
    return t('{} was added after {}.', title, scene.name)
  }, id)

/** Adds a scene at the end, made like the last one with a prompt, with nothing written in it. */
export const add = studio =>
  edit(studio, async model => {
    const film = inFilm(model)
    // A scene with an image of its own has no prompt to write.
    const last = film.findLast(scene => scene.fields.prompt) ?? film.at(-1)
    if (!last) throw new Error(t('No scene is in the film yet: add one of those below to it.'))
    const title = freeName(model, `${t('Scene')} ${film.length + 1}`)
    const nodes = await copyScene(studio.app, model, last.id, { title, prompt: '', text: '' }, true)
    openNew(model, nodes)
    return t('{} was added.', title)
  })

export const remove = (studio, id) =>
  edit(studio, async model => {
    const { name } = studio.scene(id)
    await removeScene(studio.app, model, id)
    return t('{} was removed. Ctrl+Z brings it back.', name)
  }, id)

/** Adds a scene that stands apart to the end of the film. */
export const append = (studio, id) =>
  edit(studio, async model => {
    const { name } = studio.scene(id)
    await appendScene(studio.app, model, id)
    return t('{} is now the last scene of the film.', name)
  }, id)

/** Types in a field of a scene, which is one step of undo until `endTyping`. */
export function type(studio, id, name, value) {
  // The card may be of the workflow before.
  const scene = studio.isShown() && studio.scene(id)
  const before = scene && typed(studio, scene, name)
  if (!scene || before === value) return
  for (const { path, input } of inputsOf(studio.app, scene, name)) {
    putValue(studio.app, widgetOf(path, input), value)
  }
  if (name === 'title' && value) followTitle(studio.app, studio.model, id, before, value)
  studio.app.graph.setDirtyCanvas(true, true)
  captureTyping(studio.app, `${id} ${name}`)
  studio.refreshSoon()
}

/** What is typed in a field of a scene; undefined if it has no such field. */
export function typed(studio, scene, name) {
  const field = scene.fields?.[name]
  const [first] = field ? inputsOf(studio.app, scene, name) : []
  const value = first && widgetOf(first.path, first.input)?.value
  return typeof value === 'string' ? value : undefined
}

/** Follows what is typed on the canvas, and says when a run makes no film because its scenes are in a circle. */
export function followCanvas(studio) {
  document.addEventListener('input', event => event.target.closest?.('.story-studio') || studio.refreshSoon(), true)
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

/** The nodes of a scene that was added to a workflow, until the panel has read it. */
let added = { workflow: null, ids: new Set() }

const openNew = ({ workflow }, nodes) => (added = { workflow, ids: new Set(nodes.map(node => String(node.id))) })

/** Whether a scene was just added; true once. */
export function isNew({ model }, scene) {
  const is = model.workflow === added.workflow && scene.id.split(' ').some(id => added.ids.has(id.split(':')[0]))
  if (is) added = { workflow: null, ids: new Set() }
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
