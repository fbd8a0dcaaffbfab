"""AWS's own DynamoDB Local. Its licence forbids shipping it, so it is fetched, never vendored.

Its command line can only listen on every interface, without asking anybody for credentials. So its request handler is
put into the same Jetty by a configuration of ours, on loopback: https://jetty.org/docs/jetty/12/operations-guide/xml/.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from infrastructure.local.jars import Classpaths
from infrastructure.local.java import java
from infrastructure.local.ports import LOOPBACK
from infrastructure.local.processes import CannotStart, Child, Processes, listens

JETTY = """\
<?xml version="1.0"?>
<!DOCTYPE Configure PUBLIC "-//Jetty//Configure//EN" "https://jetty.org/configure_10_0.dtd">
<Configure id="server" class="org.eclipse.jetty.server.Server">
  <Call name="addConnector">
    <Arg>
      <New class="org.eclipse.jetty.server.ServerConnector">
        <Arg name="server"><Ref refid="server"/></Arg>
        <Set name="host">{host}</Set>
        <Set name="port">{port}</Set>
      </New>
    </Arg>
  </Call>
  <Set name="handler">
    <New class="org.eclipse.jetty.server.handler.ContextHandler">
      <Set name="handler">
        <New class="com.amazonaws.services.dynamodbv2.local.server.LocalDynamoDBServerHandler">
          <Arg>
            <New class="com.amazonaws.services.dynamodbv2.local.server.LocalDynamoDBRequestHandler">
              <Arg type="int">0</Arg>
              <Arg type="boolean">{in_memory}</Arg>
              <Arg type="java.lang.String">{folder}</Arg>
              <Arg type="boolean">true</Arg>   <!-- one database for all regions and credentials -->
              <Arg type="boolean">false</Arg>  <!-- no artificial delays -->
            </New>
          </Arg>
          <Arg>http://{host}</Arg>             <!-- CORS: no site in a browser gets in -->
        </New>
      </Set>
    </New>
  </Set>
</Configure>
"""


def jetty_configuration(port: int, folder: Path, *, persistent: bool) -> str:
    return JETTY.format(
        host=LOOPBACK,
        port=port,
        in_memory="false" if persistent else "true",
        folder=escape(str(folder)) if persistent else "",
    )


async def start_dynamodb(
    processes: Processes,
    port: int,
    folder: Path,
    *,
    classpaths: Classpaths,
    persistent: bool,
    java_flags: Sequence[str] = (),
) -> Child:
    """In files under the folder, or in memory when nothing has to survive (ten times faster to write)."""
    if classpaths.dynamodb_native is None:
        raise CannotStart(
            "DynamoDB Local has no native library for this kind of machine. Set AWS_ENDPOINT_URL_DYNAMODB to a "
            "DynamoDB that runs elsewhere (for instance the container of docker-compose.yml) and start again."
        )
    configuration = _write(folder / "jetty.xml", jetty_configuration(port, folder, persistent=persistent))
    child = await processes.start(
        "dynamodb",
        java(
            "-Xmx256m",
            f"-Djava.library.path={classpaths.dynamodb_native}",
            *java_flags,
            classpath=classpaths.dynamodb,
            main="org.eclipse.jetty.xml.XmlConfiguration",
            arguments=[configuration],
        ),
        cwd=folder,
    )
    await child.until(lambda: listens(port))
    return child


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
