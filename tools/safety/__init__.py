"""Makes data of the prompt check from published lists. Nothing at run time needs it."""
