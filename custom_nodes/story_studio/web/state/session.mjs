/** What is known of the latest run of one workflow, from events and from the server. */
import { pathTo } from '../canvas/widgets.mjs'
import { t } from '../shared/words.mjs'
import { createFailures } from './failures.mjs'

/**
 * The latest run of a workflow; one that continues another without the scenes that failed counts as the same run.
 *
 * @param workflow the one whose runs they are.
 * @returns an object with
 *   `running`: the id of its prompt while it runs, and `queued`, the ids of prompts that wait;
 *   `wanted`: the ids of the results that the run makes; of these, as Sets, `finished`, made or found, and `reused`, found;
 *   `left`: of `wanted`, those that are not left out because something failed;
 *   `started`: in milliseconds since 1970;
 *   `active`: a fraction by the id of each node that runs;
 *   `errors`: the reason by the id of each node that failed; `failed`, a Map of reasons by scene id, of the failures that
 *   still hold, see `createFailures`;
 *   `made`: the file by node id; `kept`, the key of the take that a Check Clip chose, by its id;
 *   `problem`: what else went wrong, or what the panel says;
 *   `isElsewhere`: whether another page gets the events of the run;
 *   `looks`, a Map from scene id to the first seconds of its clip that were asked for: `{file, problem, cancel()}`;
 *   `unfolded`, a Map from scene id to whether all of its card is shown, for those where somebody chose;
 *   what changes it: `begin`, `work`, `note`, `take`, and `read`, with the API workflow as it is now;
 *   and `hasNewFailure()`, whether one has to be read yet.
 */
export function createSession({ app, model }, workflow) {
  const failures = createFailures({ app }, () => now)
  /** Whether what was read last is this workflow: another one may have the same node ids. */
  const isShown = () => model.workflow === workflow
  let said = ''
  let isRead = false
  let id = null
  const now = {
    running: null, queued: [], wanted: [], left: [], finished: new Set(), reused: new Set(), cached: new Set(), started: 0,
    active: {}, errors: {}, made: {}, kept: {}, outputs: {}, isElsewhere: false,
    looks: new Map(), unfolded: new Map(),

    get failed() {
      if (!isShown()) return new Map()
      const owned = Object.entries(failures.now()).map(([node, reason]) => [model.owners.get(node)?.scene.id, reason])
      return new Map(owned.filter(([scene]) => scene))
    },

    get problem() {
      if (said || isRead || !isShown() || !model.scenes.length) return said
      const others = Object.entries(failures.now()).filter(([node]) => !model.owners.has(node))
      return others.map(([node, reason]) => `${pathTo(app, node).at(-1)?.title ?? t('A node')}: ${reason}`).join('\n')
    },

    set problem(text) {
      said = text
      isRead = !text
    },

    /** A prompt begins; the server is asked next whether it continues the last one. */
    begin(prompt, time) {
      said = ''
      isRead = false
      Object.assign(now, { running: prompt, active: {}, started: time, cached: new Set() })
    },

    /** How far the running nodes are. ComfyUI also calls a Still or Clip running while it waits for its input. */
    work(active) {
      now.active = Object.fromEntries(Object.entries(active).filter(([node]) => !isShown() || !(node in model.takes)))
    },

    /** A node has shown its result. */
    note(node, output) {
      now.made[node] = output.images[0]
      now.finished.add(node)
      // What ComfyUI still has says what was true when it was made.
      if (output.checkpoint[0].reused || now.cached.has(node)) now.reused.add(node)
    },

    read: failures.read,
    hasNewFailure: failures.areNew,

    /** The runs of the workflow as the server knows them; `isQuiet`: no event tells how far the running nodes are. */
    take(runs, isQuiet) {
      const current = runs.find(run => run.state === 'running')
      const latest = current ?? runs.findLast(run => run.state !== 'waiting')
      now.queued = runs.filter(run => run.state === 'waiting').map(run => run.id)
      now.running = current?.id ?? null
      now.isElsewhere = runs.some(run => ['running', 'waiting'].includes(run.state) && run.client !== app.api.clientId)
      // It has ended, or the server has started again and knows of none.
      if (!current) now.active = {}
      if (!latest) return
      const chain = runs.filter(run => run === latest || latest.earlier.includes(run.id))
      if (!chain.some(run => run.id === id)) begins()
      id = latest.id
      now.errors = { ...latest.failed }
      now.started = chain[0].started || now.started
      now.wanted = chain[0].wanted
      now.left = latest.wanted
      now.outputs = Object.assign({}, ...chain.map(run => run.outputs))
      for (const [node, output] of Object.entries(now.outputs)) if (output.checkpoint) now.note(node, output)
      // What exists is not requested where nothing else is made from it.
      for (const node of now.wanted.filter(node => isShown() && model.takes[node]?.file && !now.finished.has(node))) {
        now.finished.add(node)
        now.reused.add(node)
      }
      if (current && (now.isElsewhere || isQuiet)) now.work(current.active)
    },
  }

  function begins() {
    Object.assign(now, { finished: new Set(), reused: new Set() })
    failures.forget()
  }

  return now
}
