/** The runs of the open workflow: what is being made, what failed, and what was made. */
import { markNode } from '../canvas/mark.mjs'
import { pathTo } from '../canvas/widgets.mjs'
import { KEEPERS } from '../shared/nodes.mjs'
import { localized } from '../shared/sentences.mjs'
import { createTurns } from '../shared/turns.mjs'
import { openWorkflow, root } from '../shared/workflow.mjs'
import { createSession } from './session.mjs'

/** Milliseconds after which the server is asked: about a run whose events go to another page, and without any event. */
const POLL = { other: 1500, own: 10_000 }
/** Milliseconds in which changes of the queue are asked for together. */
const SETTLE = 150
/** Where the page keeps over a reload which prompt belongs to which of its workflows. */
const KEPT = 'story_studio.runs'
const MOST_KEPT = 100

/**
 * Follows ComfyUI's events, and asks the server for what it has missed: after a reload, or of another page.
 *
 * @returns `session()`, of the open workflow, see `createSession`; `listen()`, which begins to follow them; and `sync()`,
 *   which asks the server.
 */
export function createRuns(studio) {
  const { app, model } = studio
  const sessions = new WeakMap()
  /** The workflows of prompts, by their ids; of those that were queued before the page was loaded, only the paths. */
  const owners = new Map()
  const paths = new Map(JSON.parse(sessionStorage.getItem(KEPT) ?? '[]'))
  /** What was announced of a prompt before it is known of which workflow it is. */
  let early = { id: '', events: [], progress: null }
  let latest = 0
  /** How many prompts of anybody run and wait. */
  let waiting = 0
  /** The workflow of the last event. */
  let last = null
  let timer = 0
  const turn = createTurns()
  let known = {}

  /** Workflows are kept apart because they share node ids. */
  function session(workflow = openWorkflow(app)) {
    if (!sessions.has(workflow)) sessions.set(workflow, createSession(studio, workflow))
    return sessions.get(workflow)
  }

  /** The workflow of a prompt, which keeps it when saving changes its path; undefined while that is not known. */
  function ownerOf(id) {
    const workflow = openWorkflow(app)
    if (!owners.has(id) && paths.has(id) && paths.get(id) === (workflow.path ?? '')) owners.set(id, workflow)
    return owners.get(id)
  }

  /** Two open workflows have the same id if both were made from one example. */
  function bind(id, workflow) {
    if (ownerOf(id) || paths.has(id)) return
    owners.set(id, workflow)
    keep()
    if (early.id !== id) return
    for (const handle of [...early.events.splice(0), early.progress]) handle?.(session(workflow))
    early.progress = null
  }

  /** Keeps over a reload which prompts are of which workflow; a prompt that is long over keeps no closed workflow. */
  function keep() {
    for (const [id, { path }] of owners) paths.set(id, path ?? '')
    for (const known of [owners, paths]) for (const id of [...known.keys()].slice(0, -MOST_KEPT)) known.delete(id)
    sessionStorage.setItem(KEPT, JSON.stringify([...paths]))
  }

  /** The prompts of the open workflow, and of others with its id, as the server knows them; undefined without it. */
  async function ask() {
    try {
      const response = await app.api.fetchApi(`/story_studio/runs?workflow=${encodeURIComponent(root(app)?.id ?? '')}`)
      return response.ok ? await response.json() : undefined
    } catch {
      // The server is not there; ComfyUI says so, and the next event asks again.
    }
  }

  function bindAll(runs, workflow) {
    for (const { id, client, state, earlier } of runs) {
      const before = earlier.at(-1)
      if (ownerOf(before)) bind(id, ownerOf(before))
      else if (paths.has(before) && !paths.has(id)) paths.set(id, paths.get(before))
      // One whose results are there may have ended since its events came.
      else if (client === app.api.clientId && (['running', 'waiting'].includes(state) || id === early.id)) bind(id, workflow)
    }
  }

  /** Notes which workflow was queued: another one may be open when its run begins, or when the panel is opened. */
  async function bindQueued() {
    const workflow = openWorkflow(app)
    bindAll((await ask()) ?? [], workflow)
    syncSoon()
  }

  async function sync() {
    clearTimeout(timer)
    if (!studio.isOpen()) return
    const [workflow, isLast] = [openWorkflow(app), turn()]
    known = { workflow, id: root(app)?.id }
    const runs = await ask()
    if (!runs || !isLast() || workflow !== openWorkflow(app)) return
    bindAll(runs, workflow)
    const now = session(workflow)
    const [before, made] = [now.running, Object.keys(now.outputs).length]
    const isOwn = ({ id }) => ownerOf(id) === workflow || !(ownerOf(id) || paths.has(id))
    now.take(runs.filter(isOwn), Date.now() - latest > POLL.own)
    for (const [id, { check }] of Object.entries(now.outputs)) if (check) noteCheck(now, id, check[0])
    // What was finished elsewhere is found among the results.
    const hasMore = now.isElsewhere && Object.keys(now.outputs).length > made
    if (hasMore || (before && !now.running) || now.hasNewFailure()) studio.refreshSoon()
    studio.changed()
    if (now.running || now.queued.length) timer = setTimeout(poll, now.isElsewhere ? POLL.other : POLL.own)
  }

  function poll() {
    const quiet = Date.now() - latest
    if (session().isElsewhere || quiet >= POLL.own) sync()
    else timer = setTimeout(poll, POLL.own - quiet)
  }

  function syncSoon() {
    clearTimeout(timer)
    timer = setTimeout(sync, SETTLE)
  }

  /** Handles an event of a prompt of ours; `handle` returns true if nothing but a progress has changed. */
  const on = (name, handle) =>
    app.api.addEventListener(name, ({ detail }) => {
      const workflow = ownerOf(detail.prompt_id)
      if (!workflow) return wait(name, detail, now => handle(now, detail))
      latest = Date.now()
      last = workflow
      if (handle(session(workflow), detail) === true) studio.progressed()
      else studio.changed()
    })

  /** Keeps an event of the prompt that runs until it is known of which workflow it is. */
  function wait(name, { prompt_id: id }, handle) {
    if (early.id !== id) early = { id, events: [], progress: null }
    if (name === 'progress_state') early.progress = handle
    else early.events.push(handle)
  }

  /** Keeps which take a Check Clip chose, and marks the Clip that it checked, also while the panel is closed. */
  function noteCheck(now, id, { kept, verdict, findings: [worst] }) {
    now.kept[id] = kept
    const check = now === session() && pathTo(app, id).at(-1)
    const link = check && check.graph.getLink(check.inputs.find(slot => slot.name === 'clip')?.link)
    const clip = link && check.graph.getNodeById(link.origin_id)
    if (KEEPERS.includes(clip?.type)) markNode(clip, verdict, worst && localized(worst.text))
  }

  function end(now, { prompt_id }) {
    if (now.running !== prompt_id) return
    Object.assign(now, { running: null, active: {} })
    studio.refreshSoon()
    syncSoon()
  }

  function listen() {
    app.api.addEventListener('execution_start', ({ detail }) => {
      // It was queued this moment, and not to continue a run of another workflow.
      if (!last || last === openWorkflow(app)) bind(detail.prompt_id, openWorkflow(app))
    })
    on('execution_start', (now, { prompt_id: id, timestamp }) => {
      now.begin(id, timestamp ?? Date.now())
      syncSoon()
    })
    on('progress_state', (now, { nodes }) => {
      const states = Object.entries(nodes).filter(([, node]) => node.state === 'running')
      const before = Object.keys(now.active).join()
      now.work(Object.fromEntries(states.map(([id, { value, max }]) => [id, max > 1 ? value / max : 0])))
      return before === Object.keys(now.active).join()
    })
    on('execution_cached', (now, { nodes }) => nodes.forEach(id => now.cached.add(id)))
    on('executed', (now, { node, output }) => {
      // While a clip that fails is made again, its check has no result yet.
      if (output?.check) noteCheck(now, node, output.check[0])
      else if (!output?.checkpoint) return
      if (output.checkpoint) {
        now.note(node, output)
        if (model.workflow && now === session(model.workflow) && model.takes[node]) model.takes[node].file = output.images[0]
      }
      // The answer to an earlier request, which lacks this file, may still arrive.
      studio.refreshSoon()
    })
    on('execution_error', (now, detail) => {
      now.errors[detail.node_id] = detail.exception_message.trim()
      end(now, detail)
    })
    on('execution_success', end)
    on('execution_interrupted', end)
    // Every page is sent that the queue has changed, and only one of them what becomes of its prompts.
    for (const name of ['status', 'reconnected']) app.api.addEventListener(name, syncSoon)
    app.api.addEventListener('status', ({ detail }) => {
      // What another page or a program has finished may be a result of this workflow too.
      const left = detail?.exec_info?.queue_remaining ?? 0
      if (left < waiting) studio.refreshSoon()
      waiting = left
    })
    app.api.addEventListener('promptQueued', bindQueued)
    app.api.addEventListener('graphChanged', studio.refreshSoon)
    // Saving a workflow may have changed its path.
    window.addEventListener('pagehide', keep)
  }

  /** Asks the server about a workflow that was opened since it was asked. */
  const syncOpened = () => (known.workflow === openWorkflow(app) && known.id === root(app)?.id) || sync()

  return { session, listen, sync, syncOpened }
}
