/** The choice of a take in a still or clip. */
import { ownWidget, setWidget } from '../canvas/widgets.mjs'
import { PARTS } from '../shared/nodes.mjs'
import { ask } from '../shared/server.mjs'
import { t } from '../shared/words.mjs'

/** Chooses the take with this key for a still or clip, until what it is made from changes; without a key none. */
export async function chooseTake(studio, id, part, key) {
  try {
    const take = key && (await pinFor(studio, studio.scene(id)[part], key))
    const scene = studio.scene(id)
    if (scene && setTake(studio, scene, part, take)) await studio.refresh()
  } catch (error) {
    studio.toast('error', error.message)
  }
}

/** Sets the `take` of a still or clip; whether it has one of its own. */
export function setTake(studio, scene, part, take) {
  const { app, model } = studio
  const others = model.scenes.flatMap(other => PARTS.filter(p => other.id !== scene.id || p !== part).map(p => other[p]))
  const inputs = others.filter(Boolean).map(id => ({ id, input: 'take' }))
  const widget = ownWidget(app, { id: scene[part], input: 'take' }, inputs)
  if (!widget) studio.say(t('{} has no input "take" of its own: expose it on its subgraph node.', scene.name))
  else setWidget(app, widget, take)
  return !!widget
}

/**
 * What `take` holds for the choice of a take: it is used until the node's own key changes.
 *
 * @param seed a seed that is about to be set, `{id, input, value}`.
 */
export async function pinFor(studio, node, key, seed) {
  // The panel's own copy may lag behind what was just typed.
  const { output } = await studio.app.graphToPrompt()
  if (seed) output[seed.id].inputs[seed.input] = seed.value
  const { own } = (await ask(studio.app, 'takes', { prompt: output }))[node] ?? {}
  if (own === key) return ''
  return own ? `${key}@${own}` : key
}

/** The stills and clips that have let go of their `take`, which has no effect any more: pairs of a scene and a part. */
export function releasedTakes({ scenes, takes }) {
  const isReleased = pin => pin && !pin.holds
  return scenes.flatMap(scene => PARTS.filter(part => isReleased(takes[scene[part]]?.pin)).map(part => [scene, part]))
}
