/** The films of the open workflow: whether each is there, and up to date with what is on the canvas. */
import { ask } from '../shared/server.mjs'
import { createTurns } from '../shared/turns.mjs'
import { root } from '../shared/workflow.mjs'

/**
 * Keeps what the server knows of them.
 *
 * @returns `read(prompt)`, which asks the server; `settled()`, a promise that the last answer is there; `forget()`, for
 *   another workflow; and `shown()`: for each film of the model its `id`; `state`: `missing`, `old`, `current` or
 *   `running`; `film`, `changes`, `clips` and `problem` as POST /story_studio/films gives them; and `progress`, a fraction.
 */
export function createFilms(studio) {
  const { app, model } = studio
  let known = {}
  let last = Promise.resolve()
  const turn = createTurns()

  const read = prompt => (last = readFilms(prompt))

  async function readFilms(prompt) {
    const isLast = turn()
    let answer = {}
    if (model.films.length) {
      try {
        answer = await ask(app, 'films', { prompt, workflow: root(app).id ?? '' })
      } catch (error) {
        return isLast() && studio.say(error.message)
      }
    }
    if (!isLast()) return
    known = answer
    studio.changed()
  }

  return {
    read,
    settled: () => last,
    forget: () => (known = {}),
    shown() {
      const { active, running, left, failed } = studio.runs.session()
      // Without one of its scenes there will be none.
      const lacks = id => model.scenes.some(scene => failed.has(scene.id) && known[id]?.clips.includes(scene.clip))
      const isAwaited = id => running && left.includes(id) && known[id]?.state !== 'current' && !lacks(id)
      const one = id => ({ state: 'missing', film: null, changes: null, clips: [], problem: null, ...known[id] })
      const now = id => ({ ...((id in active || isAwaited(id)) && { state: 'running' }), progress: active[id] ?? 0 })
      return model.films.map(id => ({ id, ...one(id), ...now(id) }))
    },
  }
}
