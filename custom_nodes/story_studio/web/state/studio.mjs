/** The story on the canvas as the server reads it, and what listens to its changes. */
import { restored } from '../canvas/undo.mjs'
import { KEEPERS } from '../shared/nodes.mjs'
import { ask } from '../shared/server.mjs'
import { createTurns } from '../shared/turns.mjs'
import { t } from '../shared/words.mjs'
import { openWorkflow } from '../shared/workflow.mjs'
import { createFilms } from './films.mjs'
import { createPlan } from './plan.mjs'
import { createRuns } from './runs.mjs'
import { createVoices } from './voices.mjs'

const NOTHING = { scenes: [], films: [], owners: {} }
/** Milliseconds without a change after which the canvas is read again. */
const CALM = 250
/** During a run, so many times as long as reading took: results may come faster than a long story is read. */
const REST = 3
const MOST_REST = 10_000

/**
 * The state of the open workflow, which every part of the panel is given.
 *
 * @param app ComfyUI's.
 * @returns an object with
 *   `model`: `scenes`, `films` and `owners` (a Map from node id to `{scene, part}`) as POST /story_studio/scenes
 *     gives them, `takes` as POST /story_studio/takes does, `prompt`, the graph as an API workflow, `workflow`, the one of
 *     ComfyUI's tabs that it was read from, and `problem`;
 *   `runs`: see `createRuns`; `films`: see `createFilms`; `voices`: see `createVoices`;
 *   `isOpen()`: whether something listens, as an open panel does; `isShown()`: whether the open workflow is the one that
 *     was read last;
 *   `plan`: see `createPlan`;
 *   `looks` and `unfolded`, of the open workflow, see `createSession`;
 *   `listen(listener)`: calls it after each change, and returns a function that ends that;
 *   `changed()`: calls the listeners; `progressed()`: the same, at most once for each frame that the browser draws;
 *   `refresh()`: reads the canvas again; `refreshSoon()`: the same once it rests, while something listens;
 *   `scene(id)`; `say(problem)`, at the panel's top; `toast(severity, detail)`; `url(file)`, of a file to show.
 */
export function createStudio(app) {
  const model = { scenes: [], films: [], owners: new Map(), takes: {}, prompt: {}, problem: '', workflow: null }
  const listeners = new Set()
  const turn = createTurns()
  let timer = 0
  let reading = Promise.resolve()
  let took = 0
  let frame = 0
  let byId = new Map()
  /** The graph that was read last. */
  let written = ''

  const studio = {
    app,
    model,
    get looks() {
      return studio.runs.session().looks
    },
    get unfolded() {
      return studio.runs.session().unfolded
    },
    listen(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    isOpen: () => listeners.size > 0,
    isShown: () => model.workflow === openWorkflow(app),
    changed() {
      for (const listener of listeners) listener()
    },
    progressed() {
      frame ||= requestAnimationFrame(() => {
        frame = 0
        studio.changed()
      })
    },
    refresh: () => (reading = readCanvas()),
    refreshSoon() {
      if (studio.runs.session().running) {
        timer ||= setTimeout(readIfOpen, Math.min(MOST_REST, Math.max(CALM, REST * took)))
        return
      }
      clearTimeout(timer)
      timer = setTimeout(readIfOpen, CALM)
    },
    scene: id => byId.get(id),
    say(problem) {
      studio.runs.session().problem = problem
      studio.changed()
    },
    /** Shows a message. It covers the Run button, so it disappears by itself unless it is an error. */
    toast(severity, detail) {
      const life = severity === 'error' ? undefined : 8000
      if (detail) app.extensionManager.toast.add({ severity, summary: 'Story Studio', detail, life })
    },
    url: file => app.api.apiURL(`/view?${new URLSearchParams(file)}`),
  }

  function readIfOpen() {
    timer = 0
    if (listeners.size) studio.refresh()
  }

  /** Reads the canvas; when it is read again meanwhile, or another workflow is opened, waits for that. */
  async function readCanvas() {
    clearTimeout(timer)
    timer = 0
    studio.runs.syncOpened()
    const isLast = turn()
    const began = performance.now()
    await restored(app)
    const open = openWorkflow(app)
    const isOver = () => !isLast() || open !== openWorkflow(app)
    const readAgain = () => (isLast() ? studio.refresh() : reading)
    try {
      const { output, workflow } = await app.graphToPrompt()
      const hasScenes = Object.values(output).some(node => KEEPERS.includes(node.class_type))
      const asked = hasScenes ? ['scenes', 'takes'].map(name => ask(app, name, { prompt: output, workflow_id: workflow.id })) : [NOTHING, {}]
      const [story, takes] = await Promise.all(asked)
      if (isOver()) return readAgain()
      took = performance.now() - began
      // What was said of the canvas is said no longer once that is another.
      const text = JSON.stringify(output)
      if (text !== written) studio.runs.session().problem = ''
      written = text
      show(open, output, story, takes)
      studio.voices.refresh(output)
      studio.runs.session().read(output)
      studio.plan.read(output)
      studio.films.read(output)
    } catch (error) {
      if (isOver()) return readAgain()
      // What is known of another workflow is not of this one.
      if (open !== model.workflow) show(open, {}, NOTHING, {})
      model.problem = t('The story could not be read: {}', error.message)
    }
    studio.changed()
  }

  function show(workflow, prompt, { scenes, owners, ...rest }, takes) {
    if (workflow !== model.workflow) {
      studio.voices.forget()
      studio.plan.forget()
      studio.films.forget()
    }
    const ownerOf = ([id, [number, part]]) => [id, { scene: scenes[number], part }]
    const known = new Map(Object.entries(owners).map(ownerOf))
    Object.assign(model, rest, { scenes, takes, owners: known, prompt, workflow, problem: '' })
    byId = new Map(scenes.map(scene => [scene.id, scene]))
  }

  studio.runs = createRuns(studio)
  studio.films = createFilms(studio)
  studio.voices = createVoices(studio)
  studio.plan = createPlan(studio)
  return studio
}
