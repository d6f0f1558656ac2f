/** The choice of a take in a still or clip. */
import { ownWidget, setWidget } from '../canvas/widgets.mjs'
import { PARTS } from '../shared/nodes.mjs'
import { ask } from '../shared/server.mjs'
import { t } from '../shared/words.mjs'
import { inTurn } from './turn.mjs'

/** Chooses the take with this key for a still or clip, until what it is made from changes; without a key none. */
export const chooseTake = (studio, id, part, key) =>
  inTurn(studio, async scene => {
    const take = key && pin(key, studio.model.takes[scene[part]]?.own)
    if (setTake(studio, scene, part, take)) await studio.refresh()
  }, { id })

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

/** What `take` holds for the choice of a take: it is used until the node's own key changes. */
function pin(key, own) {
  if (own === key) return ''
  return own ? `${key}@${own}` : key
}

/** The same for a node once a seed is set, `{id, input, value}`. */
export async function pinAfter(studio, node, key, seed) {
  const { output } = await studio.app.graphToPrompt()
  output[seed.id].inputs[seed.input] = seed.value
  return pin(key, (await ask(studio.app, 'takes', { prompt: output }))[node]?.own)
}

/** The stills and clips that have let go of their `take`, which has no effect any more: pairs of a scene and a part. */
export function releasedTakes({ scenes, takes }) {
  const isReleased = pin => pin && !pin.holds
  return scenes.flatMap(scene => PARTS.filter(part => isReleased(takes[scene[part]]?.pin)).map(part => [scene, part]))
}
