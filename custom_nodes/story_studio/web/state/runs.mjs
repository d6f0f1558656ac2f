/** The runs of the open workflow: what is being made, what failed, and what was made since the page was loaded. */
import { markNode } from '../canvas/mark.mjs'
import { pathTo } from '../canvas/widgets.mjs'
import { KEEPERS } from '../shared/nodes.mjs'
import { t } from '../shared/words.mjs'

/**
 * Follows ComfyUI's events.
 *
 * @returns `session()`, of the open workflow: `running`, the id of its prompt; `active`, a fraction by the id of each
 *   node that runs; `failed`, the reason by scene id; `made`, the file by node id; `kept`, the key of the take that a
 *   Check Clip chose, by its id; `problem`; and `listen()`, which begins to follow them.
 */
export function createRuns(studio) {
  const { app, model } = studio
  const sessions = new Map()
  let target = null

  /** Workflows are kept apart because they share node ids. */
  function session() {
    const path = app.extensionManager.workflow?.activeWorkflow?.path ?? ''
    if (!sessions.has(path)) sessions.set(path, { running: null, active: {}, failed: new Map(), made: {}, kept: {}, problem: '' })
    return sessions.get(path)
  }

  const on = (name, handle) =>
    app.api.addEventListener(name, ({ detail }) => {
      if (target) handle(detail)
      studio.changed()
    })

  /** Keeps which take a Check Clip chose, and marks the Clip that it checked, also while the panel is closed. */
  function noteCheck(id, { kept, verdict, findings: [worst] }) {
    target.kept[id] = kept
    const check = target === session() && pathTo(app, id).at(-1)
    const link = check && check.graph.getLink(check.inputs.find(slot => slot.name === 'clip')?.link)
    const clip = link && check.graph.getNodeById(link.origin_id)
    if (KEEPERS.includes(clip?.type)) markNode(clip, { verdict, finding: worst && { name: '', text: worst.text } })
  }

  function end() {
    Object.assign(target, { running: null, active: {} })
    studio.refreshSoon()
  }

  function listen() {
    app.api.addEventListener('execution_start', ({ detail }) => {
      target = session()
      Object.assign(target, { running: detail.prompt_id, active: {}, failed: new Map(), problem: '' })
      studio.changed()
    })
    on('progress_state', ({ nodes }) => {
      // ComfyUI also calls a Still or Clip running while it waits for its input.
      const works = ([id, node]) => node.state === 'running' && !(id in model.takes)
      const running = Object.entries(nodes).filter(works)
      target.active = Object.fromEntries(running.map(([id, { value, max }]) => [id, max > 1 ? value / max : 0]))
    })
    on('executed', ({ node, output }) => {
      // While a clip that fails is made again, its check has no result yet.
      if (output?.check) noteCheck(node, output.check[0])
      else if (!output?.checkpoint) return
      if (output.checkpoint) {
        target.made[node] = output.images[0]
        if (target === session() && model.takes[node]) model.takes[node].file = output.images[0]
      }
      // The answer to an earlier request, which lacks this file, may still arrive.
      studio.refreshSoon()
    })
    on('execution_error', ({ node_id, exception_message }) => {
      const owner = target === session() && model.owners.get(node_id)
      const reason = exception_message.trim()
      if (owner) target.failed.set(owner.scene.id, reason)
      else target.problem = `${pathTo(app, String(node_id)).at(-1)?.title ?? t('A node')}: ${reason}`
      end()
    })
    on('execution_success', end)
    on('execution_interrupted', end)
    app.api.addEventListener('graphChanged', studio.refreshSoon)
  }

  return { session, listen }
}
