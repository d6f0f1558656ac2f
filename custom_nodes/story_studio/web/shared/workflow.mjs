/** Which of the workflows in ComfyUI's tabs is open. */

/** The workflow of the open tab, which is the same object while the tab is open, also when it is renamed by saving it. */
export const openWorkflow = app => app.extensionManager.workflow?.activeWorkflow ?? app
