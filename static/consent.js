// Browsers take Enter on a checkbox for a press of the form's first button, which is "Allow".
// People press Enter to check or uncheck, so only the buttons may send the form.
document.getElementById("consent").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("input")) event.preventDefault();
});
