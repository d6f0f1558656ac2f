/** What the panel shows of each scene: the story on the canvas together with its results and runs. */
import { markNode } from '../canvas/mark.mjs'
import { pathTo } from '../canvas/widgets.mjs'
import { firstSentence } from '../shared/check_texts.mjs'
import { CIRCLE, PARTS } from '../shared/nodes.mjs'
import { t } from '../shared/words.mjs'
import { pinOf } from './pins.mjs'

/**
 * The scenes as their cards show them.
 *
 * @returns each scene of the model with its `number` in the film, 0 outside of it; a `name` that is never empty; `title`,
 *   both of them; for its `still` and `clip` `{file, old, takes, key, seed, prompt, pin, chosen}`, see `pinOf` and
 *   POST /story_studio/takes; `check`, of the clip that is shown; `state`; `progress`, a fraction; `reason`, why it
 *   failed; and `warned`, if something is wrong with its recording: `error` if no clip can be made from it, else
 *   `warning`.
 */
export function shownScenes({ model, runs, voices }) {
  let count = 0
  const now = runs.session()
  const failed = now.failed
  const working = new Map()
  for (const [id, progress] of Object.entries(now.active)) {
    const owner = model.owners.get(id)
    if (owner) working.set(owner.scene.id, { part: owner.part, progress })
  }
  return model.scenes.map(scene => {
    const number = scene.in_film ? ++count : 0
    const name = scene.name.trim() || t('Scene')
    const shown = { ...scene, number, name, title: number ? `${number}. ${name}` : name }
    shown.reason = (scene.circle ? t(CIRCLE) : failed.get(scene.id)) ?? ''
    for (const part of PARTS) {
      const entry = model.takes[scene[part]] ?? {}
      const { file = null, takes = [], key = null, seed = null, prompt = '' } = entry
      const made = now.made[scene[part]]
      shown[part] = scene[part] && { file: file ?? made, old: !file, takes, key, seed, prompt, pin: pinOf(entry), chosen: entry.pin?.holds ? entry.pin.key : '' }
    }
    if (shown.clip) {
      const { clip } = shown
      // With retakes the film may show another take than the first.
      const kept = !clip.old && clip.takes.find(take => take.key === now.kept[scene.check])
      if (kept) clip.file = kept.file
      shown.check = clip.takes.find(take => take.file.filename === clip.file?.filename)?.check
    }
    const work = working.get(scene.id)
    // Its results are there, but they are not what the graph says.
    const pinned = PARTS.some(part => shown[part]?.pin?.kind === 'overrules')
    const done = PARTS.every(part => !shown[part]?.old || (part === 'still' && isOwn(model.prompt, scene.clip)))
    shown.state = shown.reason ? 'failed' : work ? { still: 'drawing', clip: 'talking' }[work.part] : done ? (pinned ? 'pinned' : 'done') : 'waiting'
    shown.progress = work?.progress ?? 0
    const voice = voices.of(scene.clip)
    shown.warned = voice?.faults.length ? (voice.usable ? 'warning' : 'error') : ''
    return shown
  })
}

/** Whether a clip is the artist's own, of which a still is only a frame. */
const isOwn = (prompt, clip) => prompt[prompt[clip]?.inputs.video?.[0]]?.class_type === 'StoryStudio_OwnClip'

/** Marks the Clips on the canvas with the checks of the clips that are shown. */
export function markClips({ app, model }, scenes) {
  scenes.forEach(({ check }, index) => {
    const { clip } = model.scenes[index]
    if (clip) markNode(pathTo(app, clip).at(-1), check?.verdict, firstSentence(check))
  })
}
