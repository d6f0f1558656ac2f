/** Opens the examples that come with the pack. */
import { choose } from '../shared/question.mjs'
import { t } from '../shared/words.mjs'
import { freeTitle } from '../story/open.mjs'

const PACK = 'story_studio'
/** What the examples are, by their names. */
const ABOUT = {
  Draft: 'a whole story without models: title cards, to try its voices and its film',
  Story: 'three scenes, from prompts and recordings to a film',
  'One scene': 'a still from a prompt, and a clip that speaks a recording',
  'One image': 'an image from a prompt, in 40 steps',
  'Talking video': 'an image that speaks a recording',
}

let isAsking = false

/** Asks for an example, and opens it in a new tab. */
export async function openExample(studio) {
  if (isAsking) return
  isAsking = true
  const { app } = studio
  try {
    const names = ((await read(app, '/workflow_templates'))[PACK] ?? []).toSorted((one, other) => rank(one) - rank(other))
    const options = names.map(name => [name, ABOUT[name] ? `${name}: ${t(ABOUT[name])}` : name])
    const name = await choose(t('Which example?'), options)
    if (!name) return
    const workflow = await read(app, `/workflow_templates/${PACK}/${encodeURIComponent(name)}.json`)
    await app.loadGraphData(workflow, true, true, freeTitle(app, name))
  } catch (error) {
    studio.toast('error', error.message)
  } finally {
    isAsking = false
  }
}

const rank = name => (Object.keys(ABOUT).indexOf(name) + 1 || Infinity)

async function read(app, path) {
  const answer = await app.api.fetchApi(path)
  if (!answer.ok) throw new Error(t('The server answered {} to {}.', answer.status, path))
  return await answer.json()
}
