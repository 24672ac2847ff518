// Swagger UI, from this server's own files.

const container = document.getElementById("swagger-ui");
const caller = document.getElementById("caller");
const bearer = document.getElementById("bearer");
const dark = matchMedia("(prefers-color-scheme: dark)");

// Its dark colours follow the browser's, as the rest of the page does.
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();

const answer = await fetch(container.dataset.url);
if (!answer.ok) {
  container.textContent = "The OpenAPI document could not be loaded. Please reload the page in a moment.";
  throw new Error(`${container.dataset.url}: ${answer.status}`);
}
const specification = await answer.json();
hideCookies(specification);

const viewer = SwaggerUIBundle({
  spec: specification,
  domNode: container,
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [layout, firstField],
  layout: "Parts",
  deepLinking: true,
  syntaxHighlight: { theme: "tomorrow-night" }, // the usual one has numbers that can hardly be read
  persistAuthorization: false, // tokens are forgotten with the page
  validatorUrl: null, // it would call another site
  requestInterceptor(request) {
    // Without the cookie even where the operation takes no token: else it would run as somebody else.
    if (hasToken()) request.credentials = "omit";
    return request;
  },
  responseInterceptor(response) {
    renewCaller();
    return response;
  },
});

viewer.getStore().subscribe(showCaller);
showCaller();

// Of its parts those that are used here. Its usual layout brings a title and a `<main>`, which this page has already.
function layout({ React: { createElement } }) {
  const parts = ["errors", "InfoContainer", "AuthorizeBtnContainer", "operations", "Models"];
  const Parts = ({ getComponent }) => {
    const heading = createElement("h2", { className: "visually-hidden" }, "Endpoints");
    const rest = parts.map((name) => createElement(getComponent(name, true)));
    return createElement("div", { className: "swagger-ui" }, heading, ...rest);
  };
  return { components: { Parts } };
}

// Each field of its dialog takes the focus when it appears, so that the last one would have it.
function firstField({ React: { createElement, useLayoutEffect } }) {
  const authorizationPopup = (Popup) => (properties) => {
    useLayoutEffect(() => document.querySelector(".modal-ux input")?.focus(), []);
    return createElement(Popup, properties);
  };
  return { wrapComponents: { authorizationPopup } };
}

// A script cannot set a cookie that it cannot read, so a field for it in the dialog would do nothing: the browser sends it by
// itself.
function hideCookies({ components, paths }) {
  const schemes = components.securitySchemes;
  const cookies = Object.keys(schemes).filter((name) => schemes[name].in === "cookie");
  for (const name of cookies) delete schemes[name];
  for (const operation of Object.values(paths).flatMap(Object.values)) {
    operation.security = operation.security?.filter((needed) => !cookies.some((name) => name in needed));
  }
}

function hasToken() {
  return viewer.authSelectors.authorized().size > 0;
}

function showCaller() {
  caller.hidden = hasToken();
  bearer.hidden = !hasToken();
}

// The call may have logged somebody in or out. Where this page is not for them, nothing is claimed.
async function renewCaller() {
  const page = await fetch(location.pathname).then((renewed) => renewed.text()).catch(() => ""); // not while one leaves
  const renewed = new DOMParser().parseFromString(page, "text/html").getElementById("caller");
  caller.replaceChildren(...(renewed?.childNodes ?? []));
}
