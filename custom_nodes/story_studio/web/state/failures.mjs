/** Why nodes failed, as long as they would fail again. */
import { reasonOf } from '../shared/refusals.mjs'
import { localized } from '../shared/sentences.mjs'
import { madeFrom } from '../shared/upstream.mjs'

/**
 * Keeps what failed nodes of a workflow are made from: once that is changed, they may not fail again.
 *
 * @returns `read(prompt)`, with the API workflow as it is now; `forget()`, for another run; `areNew()`, whether one was
 *   not read yet; and `now()`: the reason by the id of each node whose failure still holds.
 */
export function createFailures({ app }, session) {
  let from = {}
  let refusals = null
  let changed = new Set()

  /** ComfyUI keeps until the next run which nodes it refused; a new object says that it was asked again. */
  function refused() {
    const known = app.lastNodeErrors ?? {}
    return Object.fromEntries(Object.entries(known).map(([id, { errors }]) => [id, reasonOf(errors)]))
  }

  /** Why nodes failed, by their ids, in the language of the interface. */
  function all() {
    const failed = Object.entries(session().errors).map(([id, reason]) => [id, localized(reason)])
    return { ...refused(), ...Object.fromEntries(failed) }
  }

  return {
    read(prompt) {
      if (refusals !== app.lastNodeErrors) {
        refusals = app.lastNodeErrors
        for (const id of Object.keys(refusals ?? {})) delete from[id]
      }
      const texts = Object.keys(all()).map(id => [id, madeFrom(prompt, id)])
      for (const [id, text] of texts) from[id] ??= text
      changed = new Set(texts.filter(([id, text]) => from[id] !== text).map(([id]) => id))
    },
    forget() {
      from = {}
      changed = new Set()
    },
    areNew: () => Object.keys(all()).some(id => !(id in from)),
    now: () => Object.fromEntries(Object.entries(all()).filter(([id]) => !changed.has(id))),
  }
}
