/** What is queued from the panel. */
import { asOneStep } from '../canvas/undo.mjs'
import { seedChangers, setWidget } from '../canvas/widgets.mjs'
import { PARTS } from '../shared/nodes.mjs'
import { ask } from '../shared/server.mjs'
import { reasonOf } from '../shared/refusals.mjs'
import { localized } from '../shared/sentences.mjs'
import { t } from '../shared/words.mjs'
import { releasedTakes, setTake } from './pins.mjs'
import { inTurn } from './turn.mjs'

/** How much of a clip is rendered for a look: as much as the model makes at once. */
export const FIRST_SECONDS = 4

/** Renders the stills or the clips of all scenes, or the films: `what` is `still`, `clip` or `film`. */
export const render = (studio, what) =>
  inTurn(studio, async ({ scenes, films }) => {
    const wanted = what === 'film' ? films : scenes.map(one => one[what]).filter(Boolean)
    await queue(studio, what === 'still' ? wanted : [...wanted, ...checksOf(scenes)])
  }, { name: what })

/** Renders one film and whatever it still needs. */
export const renderFilm = (studio, id) =>
  inTurn(studio, async ({ scenes, films }) => {
    if (!films.includes(id)) return
    await studio.films.settled()
    const { clips } = studio.films.shown().find(film => film.id === id)
    await queue(studio, [id, ...checksOf(scenes.filter(scene => films.length === 1 || clips.includes(scene.clip)))])
  }, { name: `film ${id}` })

/** Renders these parts of one scene. */
export const renderScene = (studio, id, parts) =>
  inTurn(studio, async scene => {
    await queue(studio, [...parts.map(part => scene[part]).filter(Boolean), ...(parts.includes('clip') ? checksOf([scene]) : [])])
  }, { id, name: `${parts} ${id}` })

/**
 * Renders the first seconds of a scene's clip and shows them on its card. The canvas is not changed, and the file is
 * none of the clip's takes.
 */
export const showFirstSeconds = (studio, id) => inTurn(studio, scene => renderLook(studio, scene), { id, name: `first seconds ${id}` })

async function renderLook(studio, { id, clip }) {
  if (!clip) return
  const { app, model, looks } = studio
  looks.get(id)?.cancel()
  const look = { file: null, problem: '', cancel: () => follow.cancel() }
  looks.set(id, look)
  studio.changed()
  const follow = followPrompt(app, change => {
    Object.assign(look, change)
    studio.changed()
  })
  try {
    const { output, workflow } = await app.graphToPrompt()
    const { prompt, node } = await ask(app, 'first_seconds', { prompt: output, clip, seconds: FIRST_SECONDS })
    // It was closed, or asked for again.
    if (looks.get(id) !== look) return
    follow.begin(node)
    const answer = await app.api.queuePrompt(0, { output: prompt, workflow })
    follow.queued(answer.prompt_id)
  } catch (error) {
    follow.end({ problem: refusal(error) })
  }
}

/** Closes the first seconds of a scene's clip, and no longer waits for them. */
export function forgetLook(studio, id) {
  studio.looks.get(id)?.cancel()
  studio.looks.delete(id)
  studio.changed()
}

/**
 * Follows one prompt until a node of it has its file, or it ends without.
 *
 * @param end what is called then, with `{file}` or `{problem}`.
 * @returns `begin(node)`; `queued(id)`, once the prompt has one; `end(change)`; and `cancel()`, which no longer follows it.
 */
function followPrompt(app, end) {
  let [node, prompt, isOver] = ['', '', false]
  // What ComfyUI has in its cache is finished before the page knows the id of the prompt.
  const early = []
  const failed = () => t('The first seconds were not finished.')
  const handlers = {
    executed: detail => detail.node === node && stop({ file: detail.output.images[0] }),
    execution_error: detail => stop({ problem: `${failed()} ${localized(detail.exception_message.trim())}` }),
    execution_interrupted: () => stop({ problem: failed() }),
    // A result in the cache is not announced again.
    // Before it has put it into its history; then `status` tells.
    execution_success: () => fileOf(app, prompt, node).then(file => file && stop({ file })),
  }
  const take = ({ type, detail }) => {
    if (!prompt) early.push({ type, detail })
    else if (detail.prompt_id === prompt) handlers[type](detail)
  }

  async function finish() {
    const file = await fileOf(app, prompt, node)
    stop(file ? { file } : { problem: failed() })
  }

  /** A prompt that was removed from the queue, or ended while the page was not connected, has no event. */
  async function look() {
    if (prompt && !(await isQueued(app, prompt))) finish()
  }

  function cancel() {
    isOver = true
    for (const name of Object.keys(handlers)) app.api.removeEventListener(name, take)
    app.api.removeEventListener('status', look)
  }

  function stop(change) {
    if (isOver) return
    cancel()
    end(change)
  }

  return {
    end: stop,
    cancel,
    begin(wanted) {
      if (isOver) return
      node = wanted
      app.api.addEventListener('status', look)
      for (const name of Object.keys(handlers)) app.api.addEventListener(name, take)
    },
    queued(id) {
      prompt = id
      early.forEach(take)
    },
  }
}

/** Queues these output nodes of the workflow. */
export async function queue(studio, ids) {
  const { app } = studio
  await keepResults(studio)
  await app.queuePrompt(0, 1, ids)
  await studio.refresh()
}

/** Stops what would change after the run, and empties what has no effect any more, in one undo step. */
async function keepResults(studio) {
  const { app, model } = studio
  const seeds = model.scenes.flatMap(scene => PARTS.map(part => scene.seeds[part]).filter(Boolean))
  const controls = new Set(seeds.flatMap(seed => seedChangers(app, seed)))
  const released = releasedTakes(model)
  if (!controls.size && !released.length) return
  await asOneStep(app, () => {
    for (const control of controls) setWidget(app, control, 'fixed')
    for (const [scene, part] of released) setTake(studio, scene, part, '')
  })
}

/** The checks of these scenes, which lead to nothing else and so are queued by themselves. */
export const checksOf = scenes => scenes.map(one => one.check).filter(Boolean)

/** Stops the run of the open workflow, and what waits to be rendered from it. */
export async function stop({ app, runs }) {
  const { running, queued } = runs.session()
  for (const id of queued) await app.api.deleteItem('queue', id)
  if (running) await app.api.interrupt(running)
}

/** Why the server refused a prompt: what is wrong with each node, if it says so. */
function refusal(error) {
  const nodes = Object.values(error.response?.node_errors ?? {})
  return nodes.map(({ errors }) => reasonOf(errors)).join('\n') || localized(error.message)
}

/** What a node of a finished prompt shows, from the server's history. */
async function fileOf(app, prompt, node) {
  const history = await read(app, `/history/${prompt}`)
  return history?.[prompt]?.outputs?.[node]?.images?.[0]
}

/** Whether a prompt runs or waits; also if the server does not answer. */
async function isQueued(app, prompt) {
  const queue = await read(app, '/queue')
  return !queue || [...queue.queue_running, ...queue.queue_pending].some(([, id]) => id === prompt)
}

/** What the server answers; undefined while it does not. */
async function read(app, path) {
  try {
    const response = await app.api.fetchApi(path)
    return response.ok ? await response.json() : undefined
  } catch {
    // ComfyUI says that it is not there.
  }
}
