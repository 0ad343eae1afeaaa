// Puts the token of the link into the form, so that nobody has to paste it. Sends nothing: the button does.
(function () {
  "use strict";
  var token = window.location.hash.slice(1);
  var field = document.getElementById("token");
  if (!token || !field) {
    return;
  }
  field.value = token;
  document.getElementById("paste").hidden = true;
  document.getElementById("ready").hidden = false;
  // Out of the address bar, and so out of the history and of what a browser shares.
  window.history.replaceState(null, "", window.location.pathname);
})();
