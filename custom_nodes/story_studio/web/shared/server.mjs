/** Requests to the pack's routes on the server (`routes/`). */
import { t } from './words.mjs'

/**
 * The answer of a route.
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
  if (answer.problems) throw new Error(answer.problems.join('\n'))
  return answer
}
