import { Alert, AlertDescription } from "@/components/ui/alert";

/** What is wrong with a whole form; nothing while nothing is. */
export function FormAlert({ message }: { message: string | null }) {
  if (!message) return null;
  return (
    <Alert variant="destructive" role="alert">
      <AlertDescription className="col-span-2 col-start-1">{message}</AlertDescription>
    </Alert>
  );
}
