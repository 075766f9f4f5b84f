"""The site: ``nox -s docs`` builds it, with every warning as an error."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "amplitude_cohort_s3"
project_copyright = "the authors of amplitude_cohort_s3, MIT licence"
version = release = installed_version(project)

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "autodoc_fixes",
    "reference",
    "sample_report",
]
exclude_patterns = ["_build", "README.md", "explanation/benchmarks/*"]
nitpicky = True
# Types of other packages: their sites are not asked, so that a build needs no network.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!amplitude_cohort_s3).*"),
    (r"py:.*", r".*\._\w+.*"),
    (r"py:.*", r".*\.[A-Z](_co)?"),  # variables of types
]

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3

autoclass_content = "class"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# An "Attributes:" section describes; the members that autodoc finds are properties.
napoleon_use_ivar = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "amplitude_cohort_s3"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
