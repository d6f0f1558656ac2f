def write(rendered, folder, on_step):
    return []
