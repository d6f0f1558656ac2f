/** New takes of a still or clip, and the choice among them. */
import { ownWidget, setWidget } from '../canvas/widgets.mjs'
import { PARTS } from '../shared/nodes.mjs'
import { t } from '../shared/words.mjs'
import { checksOf, queue } from './render.mjs'

/** Renders only this still or clip again, with another seed. */
export async function newTake(studio, id, part) {
  await studio.refresh()
  const { app, model } = studio
  const one = studio.scene(id)
  const seed = one.seeds[part]
  // A new still leads to a new clip anyway, but a new clip must not change its still.
  let widget = seed && ownWidget(app, seed, foreignSeeds(model, one, ...(part === 'clip' ? ['still'] : [])))
  if (seed && !widget && part === 'clip') {
    widget = ownWidget(app, seed, foreignSeeds(model, one))
    const { file, takes } = model.takes[one.still]
    const kept = takes.find(take => take.file.filename === file?.filename)
    if (widget && kept && !choose(studio, one, 'still', kept.key)) return
  }
  if (!widget) return studio.say(t(`The ${part} of {} has no seed of its own to change.`, one.name))
  if (one.chosen[part] && !choose(studio, one, part, '')) return
  setWidget(app, widget, Math.floor(Math.random() * 2 ** 32))
  await queue(studio, [one[part], ...(part === 'clip' ? checksOf([one]) : [])])
}

/** Chooses the take with this key for a still or clip; without a key, what the graph makes. */
export async function chooseTake(studio, id, part, key) {
  if (choose(studio, studio.scene(id), part, key)) await studio.refresh()
}

/** The seeds that a still or clip must not share: those of other scenes, and of the parts `also` of its own. */
const foreignSeeds = (model, scene, ...also) =>
  model.scenes.flatMap(one => (one === scene ? also : PARTS).map(part => one.seeds[part])).filter(Boolean)

function choose(studio, one, part, key) {
  const { app, model } = studio
  const others = model.scenes.flatMap(other => PARTS.filter(p => other !== one || p !== part).map(p => other[p]))
  const inputs = others.filter(Boolean).map(id => ({ id, input: 'take' }))
  const widget = ownWidget(app, { id: one[part], input: 'take' }, inputs)
  if (!widget) studio.say(t('{} has no input "take" of its own: expose it on its subgraph node.', one.name))
  else setWidget(app, widget, key)
  return !!widget
}
