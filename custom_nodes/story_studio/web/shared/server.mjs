/** Requests to the pack's routes on the server (`routes/`). */
import { learnSentences, localized } from './sentences.mjs'
import { t } from './words.mjs'

/**
 * The answer of a route, with its `warnings` and `losses` in the language of the interface.
 *
 * @param app ComfyUI's.
 * @param name the last part of the route's path.
 * @param body what is sent, as JSON.
 * @throws {Error} all problems that the route reports, or the status if it fails.
 */
export async function ask(app, name, body) {
  const headers = { 'Content-Type': 'application/json' }
  const response = await app.api.fetchApi(`/story_studio/${name}`, { method: 'POST', headers, body: JSON.stringify(body) })
  if (!response.ok) throw new Error(t('The server answered {} to /story_studio/{}.', response.status, name))
  const answer = await response.json()
  await learnSentences()
  if (answer.problems) throw new Error(answer.problems.map(localized).join('\n'))
  for (const name of ['warnings', 'losses']) if (Array.isArray(answer[name])) answer[name] = answer[name].map(localized)
  return answer
}
