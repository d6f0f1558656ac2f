/** New takes of a still or clip. */
import { asOneStep } from '../canvas/undo.mjs'
import { findOwnWidget, setWidget } from '../canvas/widgets.mjs'
import { choose } from '../shared/question.mjs'
import { PARTS } from '../shared/nodes.mjs'
import { t } from '../shared/words.mjs'
import { pinFor, setTake } from './pins.mjs'
import { checksOf, queue } from './render.mjs'

/** Renders only this still or clip again, with another seed. */
export async function newTake(studio, id, part) {
  await studio.refresh()
  const { app, model } = studio
  const one = studio.scene(id)
  const seed = one.seeds[part]
  // A new still leads to a new clip anyway, but a new clip must not change its still.
  let own = seed && findOwnWidget(app, seed, foreignSeeds(model, one, ...(part === 'clip' ? ['still'] : [])))
  let kept = ''
  if (seed && !own && part === 'clip') {
    own = findOwnWidget(app, seed, foreignSeeds(model, one))
    const still = own && model.takes[one.still]?.key
    if (still) {
      const answer = await askAboutStill(one)
      if (!answer) return
      kept = answer === 'keep' ? still : ''
    }
  }
  if (!own) return studio.say(t(`The ${part} of {} has no seed of its own to change.`, one.name))
  const value = Math.floor(Math.random() * 2 ** 32)
  const take = kept && (await pinFor(studio, one.still, kept, { ...one.seeds.still, value }))
  const isSet = await asOneStep(app, () => {
    if (one.chosen[part] && !setTake(studio, one, part, '')) return false
    if (kept && !setTake(studio, one, 'still', take)) return false
    own.detach()
    setWidget(app, own.widget, value)
    return true
  })
  if (isSet) await queue(studio, [one[part], ...(part === 'clip' ? checksOf([one]) : [])])
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
