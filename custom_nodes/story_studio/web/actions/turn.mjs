/** What the panel's buttons do to the canvas: one after the other, and never to another workflow. */
import { endTyping, restored } from '../canvas/undo.mjs'
import { t } from '../shared/words.mjs'
import { ANOTHER } from '../story/unchanged.mjs'
import { openWorkflow } from '../shared/workflow.mjs'

/** What was asked for last; the next waits for it, and finds what it has made. */
let latest = Promise.resolve()
/** What waits for its turn or is being done, if it must not be asked for twice: pairs of a workflow and a name. */
const asked = new Set()

/**
 * Does something with the open workflow, as the panel reads it then, and says what went wrong.
 *
 * Nothing is done if another workflow is open by then, or the canvas cannot be read, which the panel says.
 *
 * @param act is given the scene, or without an id the model. Nothing else is to be kept from before an `await`: the
 *   canvas may be read again, and undo makes all nodes again.
 * @param props `id`, of a scene: nothing is done if it is gone by then; `name`, of what a second click does not repeat
 *   while the first one is at work.
 */
export function inTurn(studio, act, { id = null, name = '' } = {}) {
  const { model } = studio
  const workflow = openWorkflow(studio.app)
  // Until another workflow is read, the cards are of the one before, whose scenes may have the same ids.
  if (id && !studio.isShown()) return latest
  if (name && [...asked].some(one => one.workflow === workflow && one.name === name)) return latest
  const own = { workflow, name }
  if (name) asked.add(own)
  const run = async () => {
    try {
      endTyping(studio.app)
      await studio.refresh()
      if (model.workflow !== workflow || model.problem) return
      const given = id ? studio.scene(id) : model
      if (given) await act(given)
    } catch (error) {
      studio.toast('error', error.message)
    } finally {
      asked.delete(own)
    }
  }
  return (latest = latest.then(run))
}

/**
 * Does something with the whole story of the open workflow in its turn.
 *
 * @returns what it returns.
 * @throws what it throws, or that another workflow is open by then.
 */
export function wholeInTurn({ app }, act) {
  const workflow = openWorkflow(app)
  const done = latest.then(async () => {
    endTyping(app)
    await restored(app)
    if (openWorkflow(app) !== workflow) throw new Error(t(ANOTHER))
    return act()
  })
  latest = done.catch(() => undefined)
  return done
}
