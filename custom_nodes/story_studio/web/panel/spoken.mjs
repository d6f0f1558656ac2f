/** Says what happens to the scenes to those who do not see it. */
import { h, set } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'

/** What is said of a scene that gets there; what is on its way is seen at any time, and would be said too often. */
const SAID = ['done', 'pinned', 'failed']

export function createSpoken({ model }) {
  const element = h('p', { className: 'spoken', role: 'status' })
  let states = new Map()
  let workflow = null
  return {
    element,
    paint(scenes) {
      // Scenes of another workflow have the same ids if both were made from one template.
      if (workflow !== model.workflow) states = new Map()
      workflow = model.workflow
      const now = scenes.filter(scene => states.has(scene.id) && states.get(scene.id) !== scene.state && SAID.includes(scene.state))
      states = new Map(scenes.map(scene => [scene.id, scene.state]))
      if (now.length) set(element, { textContent: now.map(scene => `${scene.name || t('Scene')}: ${t(scene.state)}`).join(', ') })
    },
  }
}
