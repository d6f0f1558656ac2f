/** New takes of a still or clip. */
import { asOneStep } from '../canvas/undo.mjs'
import { findOwnWidget, setWidget } from '../canvas/widgets.mjs'
import { choose } from '../shared/question.mjs'
import { PARTS } from '../shared/nodes.mjs'
import { t } from '../shared/words.mjs'
import { pinAfter, setTake } from './pins.mjs'
import { checksOf, queue } from './render.mjs'
import { inTurn } from './turn.mjs'

/** Renders only this still or clip again, with another seed. */
export const newTake = (studio, id, part) => inTurn(studio, scene => make(studio, scene, part), { id, name: `new ${part} ${id}` })

async function make(studio, scene, part) {
  const { model } = studio
  const { workflow } = model
  let own = ownSeed(studio, scene, part)
  let pinned = null
  const value = Math.floor(Math.random() * 2 ** 32)
  if (!own && part === 'clip' && ownSeed(studio, scene, part, true)) {
    const still = model.takes[scene.still]?.key
    const answer = still ? await askAboutStill(scene) : 'both'
    if (!answer) return
    if (answer === 'keep') pinned = await pinAfter(studio, scene.still, still, { ...scene.seeds.still, value })
    // Meanwhile another workflow may have been opened, or undo has made all nodes again.
    await studio.refresh()
    scene = model.workflow === workflow && studio.scene(scene.id)
    if (!scene) return
    own = ownSeed(studio, scene, part, true)
  }
  if (!own) return studio.say(t(`The ${part} of {} has no seed of its own to change.`, scene.name))
  const isSet = await asOneStep(studio.app, () => {
    if (scene.chosen[part] && !setTake(studio, scene, part, '')) return false
    if (pinned !== null && !setTake(studio, scene, 'still', pinned)) return false
    own.detach()
    setWidget(studio.app, own.widget, value)
    return true
  })
  if (isSet) await queue(studio, [scene[part], ...(part === 'clip' ? checksOf([scene]) : [])])
}

/**
 * The seed that can be changed for a still or clip, as `findOwnWidget` gives it. A new still leads to a new clip anyway,
 * but a new clip must not change its still, unless it `takesStill`.
 */
function ownSeed({ app, model }, scene, part, takesStill = false) {
  const also = part === 'clip' && !takesStill ? ['still'] : []
  return scene.seeds[part] && findOwnWidget(app, scene.seeds[part], foreignSeeds(model, scene, ...also))
}

/** What becomes of the still of a scene, in a box of an earlier version that has one seed for both. */
const askAboutStill = scene =>
  choose(t('The still and the clip of {} have one seed. A new clip needs another one: what becomes of the still?', scene.name), [
    ['keep', t('Keep the still')],
    ['both', t('Change both')],
  ])

/** The seeds that a still or clip must not share: those of other scenes, and of the parts `also` of its own. */
const foreignSeeds = (model, scene, ...also) =>
  model.scenes.flatMap(one => (one.id === scene.id ? also : PARTS).map(part => one.seeds[part])).filter(Boolean)
