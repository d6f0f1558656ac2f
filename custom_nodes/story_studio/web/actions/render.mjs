/** What is queued from the panel. */
import { keepSeed } from '../canvas/widgets.mjs'
import { PARTS } from '../shared/nodes.mjs'

/** Renders the stills or the clips of all scenes, or the films: `what` is `still`, `clip` or `film`. */
export async function render(studio, what) {
  await studio.refresh()
  const { scenes, films } = studio.model
  const wanted = what === 'film' ? films : scenes.map(one => one[what]).filter(Boolean)
  await queue(studio, what === 'still' ? wanted : [...wanted, ...checksOf(scenes)])
}

/** Queues these output nodes of the workflow. */
export async function queue(studio, ids) {
  const { app, model } = studio
  for (const scene of model.scenes) for (const part of PARTS) if (scene.seeds[part]) keepSeed(app, scene.seeds[part])
  await app.queuePrompt(0, 1, ids)
  await studio.refresh()
}

/** The checks of these scenes, which lead to nothing else and so are queued by themselves. */
export const checksOf = scenes => scenes.map(one => one.check).filter(Boolean)

/** Stops the run of the open workflow. */
export const stop = studio => studio.app.api.interrupt(studio.runs.session().running)
